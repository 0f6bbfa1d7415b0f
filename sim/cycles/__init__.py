"""Cycle models: what a step takes, without simulating it."""
