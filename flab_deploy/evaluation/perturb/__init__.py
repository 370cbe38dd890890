"""Other ways to ask for the same function: verified perturbations of tasks, in six families.

A perturbed task is used only if its solution, run in the sandbox, still passes the task's test.
"""
