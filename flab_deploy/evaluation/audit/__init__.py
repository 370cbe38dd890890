"""Defects of perturbed data sets: those of others, and what our own methods make.

A defect is found by running the code or comparing texts, never by a model's opinion.
"""
