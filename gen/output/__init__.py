"""The folder that compile and emit write, and what describes it."""
