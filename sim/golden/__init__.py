"""The integer golden model: docs/numerics.md in numpy, sharing nothing with hdl/."""
