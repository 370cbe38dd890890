"""Judging a code model: generation, sandboxed verdicts, robustness, and paired comparison with the
original.
"""
