"""From verdicts to the figures of one model.

Nothing here runs a program or a model: the same verdicts always give the same figures.
"""
