"""How good a compiled model is: metrics of its outputs, and where they lose."""
