"""Which layers can go, and in which order.

`stage` picks metric and method; `order` drops one layer a round and keeps finished rounds in the
`journal`; `search` measures candidates on cached states, which `stack` computes layer by layer and
`race` stops early. `scores` holds the metrics of one pass, `compensation` what a plan may do about
the layers that went.
"""
