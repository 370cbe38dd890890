"""The `recover` stage: post-training that gives back what pruning took.

`train` encodes the examples, trains the pruned model on them in seeded order and writes a
checkpoint of the same shape; `distill` is the loss, with the original model as teacher. To add a
term to the loss, add it to `distill.recovery_loss` and its weight to `settings.recover`.
"""

from flab_deploy.recovery.train import recover
from flab_deploy.settings.recover import RecoverConfig

__all__ = ["RecoverConfig", "recover"]
