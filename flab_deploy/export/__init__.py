"""The `export` stage: a checkpoint as servers load it, with measured parity.

`stage` writes the portable checkpoint (`portable`, whose special ids `special_ids` checks), draws
the inputs that parity is measured on (`inputs`), then has each format of `formats` write itself and
compare itself with the source (`parity`). A format is one module of `formats`, which says how to
add one.
"""

from flab_deploy.export.stage import export
from flab_deploy.settings.export import ExportConfig

__all__ = ["ExportConfig", "export"]
