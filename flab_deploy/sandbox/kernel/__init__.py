"""The kernel's means of isolation: Landlock, seccomp, namespaces and control groups.

Each is used where this machine has it, and the sandbox says which of them are in force.
"""
