"""What placing a network has in common on every machine."""
