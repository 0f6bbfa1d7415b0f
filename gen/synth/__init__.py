"""Synthesis, place and route, and what they report, with open tools."""
