"""Vector lanes in banks, their adder trees, and the tiles that join them."""
