"""A memory each of whose words has a bit of parity."""

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Cat, Module, Shape, ShapeCastable, Value
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import Out

__all__ = ["parity_memory", "plain_bits"]


def parity_memory(
    m: Module, name: str, *, shape: Any, depth: int, attrs: Mapping[str, Any]
) -> tuple[Any, Any]:
    """A memory in ``m`` whose words are a bit wider: the ones of a word are an even number.

    So words of zeros, which block RAMs begin with, are right. Whether a word is wrong is for its
    user to say, in the cycle in which it is used: what is read in other cycles may be anything.

    Parameters
    ----------
    shape, depth, attrs: of the memory.

    Returns
    -------
    Its ports of the domain sync, as those of a :class:`~amaranth.lib.memory.Memory`: to write with
    ``en``, ``addr`` and ``data``; to read with the same and ``parity``, a bit beside ``data``.
    """
    bits = Shape.cast(shape).width
    words = memory.Memory(shape=bits + 1, depth=depth, init=[], attrs=dict(attrs))
    m.submodules[name] = words
    inner_write, inner_read = words.write_port(), words.read_port()

    def port(which: str, **members: wiring.Member) -> Any:
        members |= {"addr": Out(range(depth)), "data": Out(shape)}
        return wiring.Signature(members).create(path=(name, which))

    write, read = port("write", en=Out(1)), port("read", en=Out(1, init=1), parity=Out(1))
    given = plain_bits(write.data)
    m.d.comb += [
        inner_write.en.eq(write.en),
        inner_write.addr.eq(write.addr),
        inner_write.data.eq(Cat(given, given.xor())),
        inner_read.en.eq(read.en),
        inner_read.addr.eq(read.addr),
        Cat(plain_bits(read.data), read.parity).eq(inner_read.data),
    ]
    return write, read


def plain_bits(value: Any) -> Value:
    """A value's bits, whatever its shape."""
    shaped = hasattr(value, "shape") and isinstance(value.shape(), ShapeCastable)
    return value.as_value() if shaped else Value.cast(value)
