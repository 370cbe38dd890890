"""How well two models predict the same texts: a proof that needs no generation.

`texts` are the problems' own solutions and held-out code, `encoding` turns them into tokens, the
only place that does, `measure` runs both models over them, `bits` makes the figures and the verdict
of the lines, and `stage` puts them together. Bits per byte compare models with different
tokenizers; top-1 agreement and divergence are measured where a token begins at the same character
for both.
"""
