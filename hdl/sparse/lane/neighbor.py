"""What two neighbouring lanes say to each other when they share work."""

from amaranth.hdl import signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Member, Out

from sparnn.hdl.sparse.config import SparseConfig

from .scan import sub_mask_layout

__all__ = ["neighbor_signature", "sharing_members"]


def neighbor_signature(config: SparseConfig) -> wiring.Signature:
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
            "product": Out(signed(config.operand_bits + config.lane_activation_bits)),
            "product_valid": Out(1),
        }
    )


def sharing_members(config: SparseConfig) -> dict[str, Member]:
    """What ``sharing`` adds to a lane and to its pair stage, explained in
    :class:`~sparnn.hdl.sparse.lane.pairs.PairStage`; nothing without it."""
    if not config.sharing:
        return {}
    return {
        "sharing": In(1),
        "neighbor_load_en": In(1),
        "neighbor_broadcast_en": In(1),
        "to_neighbor": Out(neighbor_signature(config)),
        "from_neighbor": In(neighbor_signature(config)),
    }
