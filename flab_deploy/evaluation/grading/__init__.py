"""From an answer to a program for the sandbox, and what static rules find in it.

What cannot be judged is counted apart and never as a failure of the model.
"""
