"""Weights from external memory: what is asked for, and to which lane each word goes."""
