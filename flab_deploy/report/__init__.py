"""The report: one self-contained page about a run, and the same figures as JSON and as a table.

It reads the records that stages wrote, measures nothing, and says "not run" where there is none.
"""
