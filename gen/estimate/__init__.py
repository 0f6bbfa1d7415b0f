"""What a compiled network will take on a machine and on boards, without synthesis."""
