"""What all AXI masters do alike: the ports of a channel of addresses, and bursts on it."""

from typing import Any, NamedTuple

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .geometry import MemoryGeometry

__all__ = ["Bursts", "address_ports", "offer_bursts"]

_INCR = 0b01


def address_ports(channel: str, geometry: MemoryGeometry) -> dict[str, wiring.Member]:
    """The ports of the channel ``ar`` or ``aw``, by their AXI names."""
    return {
        f"{channel}id": Out(1),
        f"{channel}addr": Out(geometry.address_bits),
        f"{channel}len": Out(8),
        f"{channel}size": Out(3),
        f"{channel}burst": Out(2),
        f"{channel}cache": Out(4),
        f"{channel}prot": Out(3),
        f"{channel}valid": Out(1),
        f"{channel}ready": In(1),
    }


class Bursts(NamedTuple):
    """The bursts of a channel of addresses.

    Members
    -------
    beat: where the next one begins, an address in beats; it goes on by itself, and may be set.
    length: its beats. may: to be driven: it may begin. begins: it does, in this cycle.
    """

    beat: Signal
    length: Signal
    may: Signal
    begins: Signal


def offer_bursts(
    m: Module, geometry: MemoryGeometry, master: Any, channel: str, left: Value
) -> Bursts:
    """Offer bursts on the channel ``ar`` or ``aw`` of a component.

    What is offered stands until it is taken, and the next burst begins no earlier; none crosses a
    boundary. ``left``: beats that there are to ask for, one at least where a burst may begin.
    """

    def port(name: str) -> Signal:
        found: Signal = getattr(master, channel + name)
        return found

    bursts = Bursts(
        Signal(geometry.address_bits - geometry.beat_shift, name=f"{channel}_beat"),
        Signal(range(geometry.burst + 1), name=f"{channel}_length"),
        Signal(name=f"{channel}_may"),
        Signal(name=f"{channel}_begins"),
    )
    m.d.comb += [
        bursts.length.eq(geometry.burst_length(bursts.beat, left)),
        bursts.begins.eq(bursts.may & (~port("valid") | port("ready"))),
        port("size").eq(geometry.beat_shift),
        port("burst").eq(_INCR),
        port("cache").eq(geometry.CACHE),
    ]
    with m.If(port("ready")):
        m.d.sync += port("valid").eq(0)
    with m.If(bursts.begins):
        m.d.sync += [
            port("valid").eq(1),
            port("addr").eq(Cat(Const(0, geometry.beat_shift), bursts.beat)),
            port("len").eq(bursts.length - 1),
            bursts.beat.eq(bursts.beat + bursts.length),
        ]
    return bursts
