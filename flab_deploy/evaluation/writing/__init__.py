"""How answers are written: by a checkpoint, an ONNX export or an endpoint, kept while
unfinished.
"""
