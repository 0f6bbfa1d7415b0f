"""Runs compiled networks on hardware, from Python: `Device`, and what carries its words."""
