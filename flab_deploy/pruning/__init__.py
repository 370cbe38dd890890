"""From scores and a budget to a plan, and from a plan to a smaller checkpoint.

`planning` decides and `cutting` obeys: between them lies one file that can be read, changed and
replayed, the plan.
"""

from flab_deploy.pruning.cutting.prune import prune
from flab_deploy.pruning.plan_document import PrunePlan, load_plan
from flab_deploy.pruning.planning.plan import plan
from flab_deploy.settings.plan import PlanConfig

__all__ = ["PlanConfig", "PrunePlan", "load_plan", "plan", "prune"]
