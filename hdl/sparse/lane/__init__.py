"""The lane: mask scan in front, one multiply-accumulate per cycle behind."""
