"""Placing a network in the sparse machine: layout, balance, packing, store, program."""
