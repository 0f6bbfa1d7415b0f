"""The sequence store: whole words, or masks and packed values."""
