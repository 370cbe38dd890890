"""Other ways to ask for the same function, in six families, each form proven.

`form` takes a task apart, a method from `methods` makes edits to it, `promises` checks that nothing
else changed, `draw` counts what came of it, and `proof` runs the solutions. `registry` makes a
function a method, `catalogue` collects and chooses; `renaming` and `words` are what several methods
need.
"""
