"""A worker and the two processes that it forks for each program.

`zygote` is the worker: it prepares the confinement once, forks, watches, and says what it saw.
`candidate` runs in the program's process: it loads the source and answers calls. `examiner` runs in
the test's: it calls the program through stand-ins and reports the first thing that ends the test;
`prelude` finds what a test takes from the prompt. Between the two lies a border: `channel` carries
length-prefixed frames, `values` lets plain data across and nothing else, `raised` does so with
errors.

A worker starts without the package's `__init__` files (see `_BOOT` in `judge`), because it should
start fast and hold little: import only what runs in it.

To let another type of value across: `values`, and `tests/sandbox/test_values.py`. No verdict is
decided here: see the package above.
"""
