"""Serving models with vLLM, and measuring what that costs."""
