"""The post unit: row sums of one cluster become neuron outputs (docs/post.md)."""
