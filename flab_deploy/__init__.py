"""flab-deploy: make a code language model smaller, prove what was kept, put it into production.

The library. It knows nothing of Prefect, Kubernetes or servers: `serving` and `flows` build on it.
"""

__version__ = "0.1.0"
