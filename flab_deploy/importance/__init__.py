"""How much each vocabulary entry, layer, FFN channel, head and expert matters.

`score` is the stage: it measures on calibration examples and decides nothing, which is the plan's
work.
"""

from flab_deploy.importance.score import score
from flab_deploy.settings.score import ScoreConfig

__all__ = ["ScoreConfig", "score"]
