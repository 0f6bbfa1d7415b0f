"""A lane's part in sharing: the neighbour's sub-mask that it works off, its guest.

A lane that has nothing to do takes the sub-mask that waits at its neighbour's while that one is
busy, and sends back the products, which arrive as early as the neighbour's own would. A row's last
sub-mask stays, and its last pair waits for those that were given away.
"""

from typing import Any, NamedTuple

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data

from sparnn.hdl.arithmetic.counting import several

__all__ = ["NO_GUEST", "Guest", "Host", "own_product", "take_guest"]


class Host(NamedTuple):
    """What the pair stage holds of its own."""

    sub: data.View
    at_hand: data.View  #: driven here: the guest, or ``sub``
    valid: Signal
    many: Signal  #: more than one pair of ``sub`` is left
    last: Signal  #: ``sub`` is its row's last
    lower: Signal  #: the bits above the lowest pair at hand


class Guest(NamedTuple):
    """What sharing means for the pair stage."""

    here: Value  #: the sub-mask at hand is the neighbour's
    given: Value  #: the sub-mask that is offered goes to the neighbour
    lent: Value  #: pairs of the own row are not all issued by the neighbour


#: Without sharing.
NO_GUEST = Guest(Const(0), Const(0), Const(0))


def take_guest(m: Module, stage: Any, host: Host) -> Guest:
    """Takes the neighbour's sub-masks and gives it the own ones.

    Parameters
    ----------
    m: the module of the pair stage.
    stage: the pair stage, for its ports.
    host: what it holds.
    """
    there, here = stage.from_neighbor, stage.to_neighbor
    sub, at_hand, valid, many, last, lower = host
    offered, next_sub = stage.subs.valid, stage.subs.payload
    guest = Signal(sub.shape(), reset_less=True)
    guest_here, guest_single, guest_work = Signal(), Signal(), Signal(len(lower))
    m.d.comb += [
        at_hand.eq(Mux(guest_here, guest, sub)),
        guest_work.eq(Mux(there.give, there.sub.work, guest.work & lower)),
        here.hungry.eq(
            (stage.sharing & (~guest_here | guest_single))
            & (Mux(valid, last & ~many & ~stage.room, ~offered))
        ),
        here.give.eq(
            (there.hungry & valid & ~last & (many | guest_here)) & (offered & ~next_sub.last)
        ),
        here.sub.eq(next_sub),
        here.held.eq(guest_here & ~guest_single),
    ]
    with m.If(there.give):
        m.d.sync += guest.eq(there.sub)
    m.d.sync += [
        guest.work.eq(guest_work),
        guest_single.eq(~several(guest_work)),
        guest_here.eq(there.give | (guest_here & ~guest_single)),
    ]
    return Guest(guest_here, here.give, there.held)


def own_product(m: Module, stage: Any, product: Signal, foreign: Value) -> Signal:
    """What is added to the own sum: the own product and that of the neighbour, if any.

    ``foreign`` says that ``product`` is the neighbour's, to which it goes.
    """
    there, here = stage.from_neighbor, stage.to_neighbor
    own = Signal(signed(len(product) + 1))
    m.d.comb += [
        own.eq(Mux(foreign, 0, product) + Mux(there.product_valid, there.product, 0)),
        here.product.eq(product),
        here.product_valid.eq(foreign),
    ]
    return own
