"""Result files of other harnesses, read into one form so that `claims` can pair them.

`result_document` parses a file without knowing whose it is, `harnesses` finds the harness that
knows it by its content, and that harness's module says in the form of `outcomes` what became of
each problem. `matching` settles the metric of two files and refuses files on different problems.
A new harness is a module with a `Harness` in it, named in `harnesses`, and a test with a small file
in its real form.
"""
