"""Arithmetic of sizes: of numbers that are known when a machine is described."""

__all__ = ["ceil_div", "clog2", "is_power_of_two"]


def ceil_div(a: int, b: int) -> int:
    """``a / b`` rounded up."""
    return -(-a // b)


def clog2(value: int) -> int:
    """Bits needed to count ``value`` states; 0 for one state."""
    return (value - 1).bit_length()


def is_power_of_two(value: int) -> bool:
    """Whether ``value`` is 1, 2, 4 …"""
    return value > 0 and value & (value - 1) == 0
