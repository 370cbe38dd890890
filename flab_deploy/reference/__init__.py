"""The embedded reference model, its tokenizer, the tasks it was trained on, and how it was made.

With it every figure can be measured where no model hub can be reached.
"""
