"""From scores and a budget to a plan.

`plan` and `sweep` are the stages. A `planner` reads the `scores`, finds out which sizes are allowed
(`budget`) and what they take (`cost`, or `latency` for times); `selection` measures the divergence
of the candidates that fit, on the loaded model with parts masked (`trial`, and `depths` for whole
layers), and the least divergent one is written. `paper` holds the sizes of the paper, `cut_time`
measures what applying the plan will take here.

To add a metric of budgets: its name and unit in `settings.plan`, its cost in
`cost.computed_cost`.
"""
