"""Published machines, built to be compared with: EIE and ESE (docs/baselines.md)."""
