"""Which layers can go: the search over cached states, and its scores."""
