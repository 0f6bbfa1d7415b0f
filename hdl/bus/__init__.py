"""The machine behind a standard bus: registers, streams, jobs (docs/interface.md)."""
