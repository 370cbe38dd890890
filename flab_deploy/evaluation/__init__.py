"""Judging a code model: answers, sandboxed verdicts, robustness, and claims about two models.

`evaluate` is the stage for one model. `tasks` gives the problems and `perturb` other ways to ask
them, `writing` the answers, `grading` and the sandbox their verdicts, `figures` the report;
`claims` compares two evaluations with the tests and intervals of `statistics`.
"""
