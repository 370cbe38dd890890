"""What verbs print with `--json` and no stage writes: outputs of stages, audits, power.

A stage prints the artifact it made with the figures of its manifest. To give a verb a `--json`
output: a record here, its name in `records.schemas`, and that name in the verb's registration.
"""
