"""Widths and layouts that docs/numerics.md fixes."""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

__all__ = [
    "FACTOR_BITS",
    "MULTIPLIER_BITS",
    "PARAMETER_LAYOUT",
    "PREACTIVATION_BITS",
    "SHIFT_BITS",
    "ZERO_SHIFT",
]

#: Width of pre-activations, cell state and gate values (docs/numerics.md).
PREACTIVATION_BITS = 16
#: Width of a requantization multiplier, held as a non-negative signed number.
MULTIPLIER_BITS = 16
#: Width of a requantization shift; the largest one of a network is 47, of an entry of parameters,
#: whose multiplier is normalized, 61.
SHIFT_BITS = 6
#: The shift of an entry of parameters that marks a multiplier of zero.
ZERO_SHIFT = (1 << SHIFT_BITS) - 1
#: Width of the factor of a row's positive or negative weights, 1 to 3.
FACTOR_BITS = 2

#: One requantization entry, from the least significant bit (docs/machine.md): ``mult`` is
#: normalized, or 0 with the shift ``ZERO_SHIFT``.
PARAMETER_LAYOUT = data.StructLayout(
    {
        "mult": unsigned(MULTIPLIER_BITS),
        "shift": unsigned(SHIFT_BITS),
        "bias": signed(PREACTIVATION_BITS),
    }
)
