"""Golden model, float reference, cycle model, and the simulation of the emitted Verilog."""
