"""flab-deploy: make a code language model smaller, prove what was kept, and put it into
production.
"""

__version__ = "0.1.0"
