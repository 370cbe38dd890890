"""Defects of perturbed data sets: those of others, and what our own methods make."""
