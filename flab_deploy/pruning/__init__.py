"""The `plan` and `prune` stages: from scores and a budget to a plan, from a plan to a checkpoint.

`planning/` decides and writes nothing but the plan; `cutting/` applies a plan and decides nothing.
All that passes between the two is `plan_document`. `table` and `plot` show a plan and a sweep;
`baselines` are plans by other rules, to measure the planner against.
"""

from flab_deploy.pruning.cutting.prune import prune
from flab_deploy.pruning.plan_document import PrunePlan, load_plan
from flab_deploy.pruning.planning.plan import plan
from flab_deploy.settings.plan import PlanConfig

__all__ = ["PlanConfig", "PrunePlan", "load_plan", "plan", "prune"]
