"""Clusters of lanes: adder tree, collector, and the way in and out of them."""
