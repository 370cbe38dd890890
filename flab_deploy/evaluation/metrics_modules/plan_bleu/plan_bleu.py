"""What `evaluate.load` of this folder's absolute path finds; the metric itself is in flab_deploy.evaluation.hf."""

from flab_deploy.evaluation.hf import PlanBleu

__all__ = ["PlanBleu"]
