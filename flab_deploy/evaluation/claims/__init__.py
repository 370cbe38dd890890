"""What two evaluations say together: the claim, its power, and the sentences for it.

Problems are paired, so that a claim is about what changed and not about which problems were drawn.
"""
