<<<<<<< HEAD
"""From judged attempts to the records of one model.

`report` puts them together: rates, those under perturbation from `perturbed_report` with the worst
case from `robustness`, and what else is looked at from `effects`. A new figure is a field in
`records.evaluate`, filled in here where its record is built.
=======
"""From verdicts to the figures of one model.

Nothing here runs a program or a model: the same verdicts always give the same figures.
>>>>>>> refs/heads/tests
"""
