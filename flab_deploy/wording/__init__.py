"""How figures, tables and drawings are written, the same in every report."""
