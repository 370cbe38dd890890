"""The metrics as modules of Hugging Face's `evaluate`."""
