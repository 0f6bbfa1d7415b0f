"""The command line: arguments alone, one function call behind each command."""
