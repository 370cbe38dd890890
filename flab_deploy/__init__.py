"""flab-deploy: make a code language model smaller, prove what was kept, put it into production.

The library. It knows nothing of Prefect, Kubernetes or servers: `serving` and `flows` build on it.
"""

import os

WAIT_POLICY = ("OMP_WAIT_POLICY", "passive")
"""Variable that OpenMP reads when PyTorch is loaded, and its value unless the user gives one.

Threads that wait for each other would spin otherwise, and take the time of whatever else runs:
beside one other busy process, writing answers took 5.7 times as long as alone. Threads that sleep
take 1.8 times as long; alone they cost a small model a fifth.
"""
os.environ.setdefault(*WAIT_POLICY)

__version__ = "0.1.0"
