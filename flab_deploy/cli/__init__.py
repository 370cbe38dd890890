"""The command line: the program, what its verbs share, and one module per group of verbs.

`program` builds the application and is the one place where errors become exit codes; `verb` is how
a verb is registered, from here (`verbs/`) or from another package through the entry point
`flab_deploy.verbs`; `options` are what many verbs share, `output` is what they print, and
`settings_file` reads `flab.toml`. To add a verb: a function in a module of `verbs/`, its `Verb` in
that package's list with an example that works when pasted, and, for `--json`, a record and its name
in `records.schemas`.
"""
