"""Other ways to ask for the same function: verified perturbations of tasks, in six families."""
