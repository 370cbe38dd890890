"""How much each vocabulary entry, layer and FFN channel matters."""

from flab_deploy.importance.score import score
from flab_deploy.importance.score_config import ScoreConfig

__all__ = ["ScoreConfig", "score"]
