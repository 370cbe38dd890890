"""Post-training that gives back what pruning took."""

from flab_deploy.recovery.train import RecoverConfig, recover

__all__ = ["RecoverConfig", "recover"]
