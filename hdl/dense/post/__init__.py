"""The post slices: row sums of a segment become neuron outputs."""
