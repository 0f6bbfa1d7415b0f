"""The packets between host and machine, the same for every machine (docs/machine.md)."""
