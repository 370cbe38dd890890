"""How answers are written and kept while unfinished.

`writers` encodes the prompts of all attempts, looks into the `journal` for those answered before,
and lets the model write the rest: `generate` with `torch_steps` or `onnx_steps` in this process, or
the `endpoint` of a server. `trim` says where an answer ends. A new place for a model to run is a
module with the methods of `generate.Steps`, and a case in `writers`.
"""
