"""The sparse machine: lanes that skip zeros, each at its own pace (MASR)."""
