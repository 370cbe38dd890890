"""Serving models with vLLM, and measuring what that costs.

`vllm_server` starts the real server, `load` sends it requests at the times they are due, `energy`
reads the machine's counters, and `bench` does all of it for two models in turn.
"""
