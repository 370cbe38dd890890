"""The metrics as modules of Hugging Face's `evaluate`: classes in `hugging_face`, and a folder for
each by which `evaluate.load` finds it.

A new metric is a class, its name in `METRIC_NAMES`, and a folder like the others.
"""
