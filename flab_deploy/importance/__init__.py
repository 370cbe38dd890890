"""How much each vocabulary entry, layer and FFN channel matters."""

from flab_deploy.importance.score import score
from flab_deploy.settings.score import ScoreConfig

__all__ = ["ScoreConfig", "score"]
