"""Runs a compiled folder as one model: what the host does, and the parts of the machine."""
