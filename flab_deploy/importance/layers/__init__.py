"""Which layers can go: the search over cached states, and its scores.

Every round is kept in a journal, so that a killed search goes on after its last one.
"""
