"""The perturbation methods, one module per kind of change."""
