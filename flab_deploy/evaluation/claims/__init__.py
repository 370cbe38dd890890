"""What two evaluations say together.

`pairs` reads them and pairs them prompt by prompt, `claim` tests one set of problems,
`perturbed_pairs` the perturbed ones, `noise` a repeated evaluation; `compare` puts the record
together, `files` that of two result files of other harnesses, and `sentences` says it in words.
`power` asks beforehand how many problems a claim needs. A new figure is a field in
`records.compare`, filled in here and, if people should read it, put into `sentences`.
"""
