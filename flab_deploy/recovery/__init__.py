"""Post-training that gives back what pruning took."""

from flab_deploy.recovery.train import recover
from flab_deploy.settings.recover import RecoverConfig

__all__ = ["RecoverConfig", "recover"]
