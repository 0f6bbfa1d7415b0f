"""What a board adds to the machine: clock, reset, link, lights (docs/boards.md)."""
