"""Defects of perturbed data sets.

`data_set` audits a file, `own_methods` what our own methods make of reference tasks, both with the
`defects` that reading alone can find. A new kind of defect is its name in `records.printed.audit`
and a check in `defects`.
"""
