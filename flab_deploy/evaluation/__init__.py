"""Judging a code model, alone and against the model that it was made from.

`evaluate` goes through four rooms in this order: `tasks` (problems, and proof that they are sound),
`writing` (what the model answers), `grading` (programs and values for the sandbox, and static
findings), `figures` (the records). `claims` compares two such evaluations, or two result files of
other harnesses, which `outside` reads; `audit` looks for defects in perturbed data sets. `perturb`
makes other forms of a problem, `statistics` knows nothing of models, `metrics` offers both to
Hugging Face's `evaluate`, and `source_code` parses Python for all of them. A new perturbation is
one function under `perturb/methods`; a new figure begins with its field in `records.evaluate` or
`records.compare`.
"""
