"""How much each vocabulary entry, layer and FFN channel matters."""

from flab_deploy.importance.score import ScoreConfig, score

__all__ = ["ScoreConfig", "score"]
