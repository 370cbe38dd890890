"""From a plan to a smaller checkpoint."""
