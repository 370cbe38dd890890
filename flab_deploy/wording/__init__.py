"""How figures and tables are written, the same in every report.

Nothing here knows what a figure means.
"""
