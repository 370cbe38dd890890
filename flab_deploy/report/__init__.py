"""The report: one self-contained page about a run, and the same figures as JSON and as a table."""
