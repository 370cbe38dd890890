"""From a plan to a smaller checkpoint.

`prune` is the stage. `tensors` works out what stays of every tensor from the headers alone,
`model_config` the new `config.json`, and `weights` streams the files through. The result is then
checked against what engines ask for (`engine_rules`), opened in a fresh process (`opens`) and
compared with its source on held-out texts (`realised`).

To cut another kind of tensor, describe it in `decoder.architectures`; a list of `config.json` with
one entry a layer goes into `model_config._PER_LAYER`.
"""
