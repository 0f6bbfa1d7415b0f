"""A whole ONNX graph, cut into what the machine computes and what the host does."""
