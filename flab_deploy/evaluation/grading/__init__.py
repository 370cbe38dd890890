"""From an answer to its verdict.

`programs` makes the program that the sandbox has to run, or compares a value; `security` finds
known weaknesses, with `input_flow` for what a user's input reaches; `unjudged` refuses a score
where too much could not be judged. A new weakness is an entry in the tables of `security` or
`input_flow`.
"""
