<<<<<<< HEAD
"""From an answer to its verdict.

`programs` makes the program that the sandbox has to run, or compares a value; `security` finds
known weaknesses, with `input_flow` for what a user's input reaches; `unjudged` refuses a score
where too much could not be judged. A new weakness is an entry in the tables of `security` or
`input_flow`.
=======
"""From an answer to a program for the sandbox, and what static rules find in it.

What cannot be judged is counted apart and never as a failure of the model.
>>>>>>> refs/heads/tests
"""
