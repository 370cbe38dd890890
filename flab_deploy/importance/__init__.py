"""The `score` stage: how much each vocabulary entry, layer, FFN channel, head and expert matters.

`score` counts the corpus' tokens (`tokens`), chooses calibration examples (`examples`), loads the
model and measures (`measure`): first the layers (`layers/`), then channels and heads (`readers`
says what feeds them, `units` scores it), then experts (`experts`). The arithmetic of divergences is
in `divergence`, sharing work between processes in `ranks`.

To add a metric: of channels and heads, a branch of `units.unit_scores` and its name in
`settings.score.UnitMetric`; of layers, a line of `layers.stage._COSTS` (whole models) or
`layers.stage._TRUNK_SCORES` (one pass over the layers) and its name in
`settings.score.LayerMetric`.
"""

from flab_deploy.importance.score import score
from flab_deploy.settings.score import ScoreConfig

__all__ = ["ScoreConfig", "score"]
