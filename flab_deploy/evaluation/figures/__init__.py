"""From judged attempts to the records of one model.

`report` puts them together: rates, those under perturbation from `perturbed_report` with the worst
case from `robustness`, and what else is looked at from `effects`. A new figure is a field in
`records.evaluate`, filled in here where its record is built.
"""
