"""From an ONNX file to the network model."""
