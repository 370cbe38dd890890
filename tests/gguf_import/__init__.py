"""Tests of importing GGUF files."""
