"""The pipeline as a Prefect flow: scheduling, retries, states and artifacts around the library's
stages.
"""
