"""The command line: the program, what its verbs share, and one module per group of verbs."""
