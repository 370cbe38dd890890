"""The pipeline as a Prefect flow: scheduling, states and artifacts around the library's stages.

Prefect is imported here alone, and keeps no knowledge of its own about what is finished.
"""
