"""The kernel's means of isolation, and what it says of a process.

In the order in which they come into force: `namespaces` and `cgroups` once for a worker, where this
machine grants them; then, in each of its children, `policy`: resource limits, a private user,
Landlock for files and, last because it forbids all of these, the filter of system calls that
`seccomp` assembles. `gauges` reads what a running child has used.

To allow or forbid a system call: the lists in `seccomp`, and an attack in
`tests/sandbox/hostile_more.py`. To add a layer: the attempt that it must refuse in
`worker/zygote._try_everything`, by which a layer is found to be in force.
"""
