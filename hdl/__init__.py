"""The hardware, in Amaranth alone: no files, no command line, no numpy. One stage per file."""
