"""The perturbation methods, one module per kind of change.

A new method is one function at the end of its module: it takes a task apart and a seeded random
source, and gives edits, or the perturbed task; none or None where it does not apply. The decorator
`perturbation` says what it promises, and its docstring's first paragraph is what `flab audit
--reference` shows of it. A new module is added to the list in `catalogue`.
"""
