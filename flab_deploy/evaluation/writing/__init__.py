"""How answers are written: by a checkpoint, an ONNX export or an endpoint.

Finished answers are kept in a journal, so that an interrupted evaluation goes on where it stopped.
"""
