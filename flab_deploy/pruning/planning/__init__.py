"""From scores and a budget to a plan.

`planner` searches all cuts within the bounds; `plan` is the stage, `sweep` does it for several
budgets.
"""
