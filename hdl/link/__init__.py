"""The machine's packet stream over a pair of wires (docs/link.md)."""
