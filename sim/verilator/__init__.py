"""The emitted Verilog as a compiled simulation, and where builds are kept."""
