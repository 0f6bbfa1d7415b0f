"""The comparisons behind docs/results/: one file for each, and what they share."""
