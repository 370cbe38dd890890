"""From an answer to a program for the sandbox, and what static rules find in it."""
