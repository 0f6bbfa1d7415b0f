"""Weights from external memory: to which lane each word goes."""
