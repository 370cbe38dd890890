"""Other ways to ask for the same function: verified perturbations of function-synthesis tasks."""
