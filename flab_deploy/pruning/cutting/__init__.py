"""From a plan to a smaller checkpoint.

Weights are cut as they are read, shard by shard, and the same plan gives the same bytes.
"""
