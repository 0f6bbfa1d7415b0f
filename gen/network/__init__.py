"""The network in real numbers: the model, its run, its ONNX, and what changes it."""
