"""The formulas of docs/numerics.md in gates, once for both machines."""
