"""Many machines for a network: all on models, the best and a sample of the others measured."""
