"""Tests of how prompts become tokens."""
