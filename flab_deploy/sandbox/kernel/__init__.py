"""The kernel's means of isolation: Landlock, seccomp, namespaces and control groups."""
