"""Charts of the report as inline SVG whose colours follow the page's theme."""
