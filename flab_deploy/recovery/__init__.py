"""Post-training that gives back what pruning took.

The original model is the teacher, and of an example only the completion carries loss.
"""

from flab_deploy.recovery.train import recover
from flab_deploy.settings.recover import RecoverConfig

__all__ = ["RecoverConfig", "recover"]
