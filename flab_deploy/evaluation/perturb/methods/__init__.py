"""The perturbation methods, one module per kind of change.

A method takes a task and a source of chance, and returns the changed task or nothing.
"""
