"""How figures, tables, claims and drawings are written, the same in every report.

It lies below the stages, so that each of them may use it and none needs another for it: `numbers`
writes a figure with its unit, `table` aligns a table for a terminal or as Markdown, `claims` puts a
claim into a sentence, `drawing` makes plots that are the same bytes every time.
"""
