"""`python -m sparnn.gen.cli`: the command without its entry point."""

from .main import main

main()
