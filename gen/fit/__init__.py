"""Which machine fits which FPGA, from a model of areas, without synthesis."""
