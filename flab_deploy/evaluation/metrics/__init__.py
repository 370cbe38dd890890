"""The metrics as modules of Hugging Face's `evaluate`.

Each folder can be given to `evaluate.load`; the arithmetic is in `statistics`.
"""
