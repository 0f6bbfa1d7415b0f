"""From an integer network to a placed one: what a machine offers the compiler."""
