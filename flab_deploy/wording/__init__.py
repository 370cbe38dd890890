"""How figures and tables are written, the same in every report."""
