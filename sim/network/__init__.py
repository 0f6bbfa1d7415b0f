"""The integer network, its limits, and the arrays that go in and out."""
