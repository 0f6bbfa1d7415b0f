"""The dense machine: vector lanes, tiles that change at run time (docs/dense.md)."""
