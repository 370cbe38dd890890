"""What `evaluate.load` of this folder's absolute path finds; the metric itself is in
flab_deploy.evaluation.metrics.hugging_face.
"""

from flab_deploy.evaluation.metrics.hugging_face import Retention

__all__ = ["Retention"]
