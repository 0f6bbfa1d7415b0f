"""What runs a network: dispatcher, host port, result stream."""
