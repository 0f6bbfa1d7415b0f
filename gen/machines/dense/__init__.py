"""Placing a network in the dense machine: tiles, packing, store, program."""
