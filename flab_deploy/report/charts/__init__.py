"""Charts of the report as inline SVG whose colours follow the page's theme.

A chart takes records and returns text; `all` lists those of a page.
"""
