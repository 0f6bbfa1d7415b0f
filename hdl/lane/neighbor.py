"""What two neighbouring lanes say to each other when they share work."""

from amaranth.hdl import signed
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from sparnn.hdl.config import MachineConfig

from .scan import sub_mask_layout

__all__ = ["neighbor_signature"]


def neighbor_signature(config: MachineConfig) -> wiring.Signature:
    """From a lane to its neighbour. All but ``give`` follow from the sender's registers.

    Members
    -------
    hungry: it can take a sub-mask in this cycle, and has none of its own.
    give, sub: only while the other is ``hungry``: a sub-mask that the other works off, with the
        sender's weights and activations, of which it has copies.
    held: it will not have issued the last pair of the other's sub-mask after this cycle.
    product, product_valid: of a pair of the other's, for the other's sum of this cycle.
    """
    return wiring.Signature(
        {
            "hungry": Out(1),
            "give": Out(1),
            "sub": Out(sub_mask_layout(config)),
            "held": Out(1),
            "product": Out(signed(config.operand_bits + config.activation_bits)),
            "product_valid": Out(1),
        }
    )
