"""A GGUF file as a checkpoint directory.

`stage` has transformers convert weights and tokenizer, `contents` is what the file itself says, and
`mend` puts right what the conversion forgot and names what it could not. What comes out is a
checkpoint like any other.
"""

from flab_deploy.gguf_import.stage import import_gguf

__all__ = ["import_gguf"]
