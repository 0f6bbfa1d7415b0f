"""What machines share that read their weights from external memory (docs/external-memory.md)."""
