"""The problems of a suite, and proof that they are sound.

`sources` reads rows of files and hubs, `formats` makes tasks of them, `load` chooses, `suite`
proves them and their perturbed forms in the sandbox; `plans` puts chain-of-thought problems in
other ways. A new task format is a reader in `formats` and its name in `settings.evaluate`.
"""
