"""The dense machine: vector lanes, tiles whose shape changes at run time (docs/adaptive-tiles.md)."""
