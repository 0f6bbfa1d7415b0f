"""Words of external memory on their way to the lanes' rings."""

from typing import Any, NamedTuple

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data

from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.lane.ports import refill_layout

__all__ = ["arriving_words", "dealt_layout", "refill_lane"]


def dealt_layout(config: SparseConfig) -> data.StructLayout:
    """A word for the rings of ``lane``, counted over all clusters. clear: all rings of all lanes
    are empty, and begin anew."""
    return data.StructLayout(
        {"refill": refill_layout(config), "lane": clog2(config.lanes), "clear": 1}
    )


class _Arriving(NamedTuple):
    """The word that has come to the cluster, and a cycle later what lies beside the lanes."""

    word: data.View
    beside: Signal


def arriving_words(m: Module, config: SparseConfig, dealt: Value) -> _Arriving:
    """Registers on the way into a cluster."""
    word = Signal(dealt_layout(config), name="dealt_here")
    beside = Signal(refill_layout(config)["word"].shape, name="dealt_beside", reset_less=True)
    m.d.sync += [word.eq(dealt), beside.eq(word.refill.word)]
    return _Arriving(word, beside)


def refill_lane(m: Module, arriving: _Arriving, lane: Any, number: Value, index: int) -> None:
    """Drive the refill of a lane: ``number`` over all clusters, ``index`` in its own."""
    word = arriving.word
    chosen = word.lane == number
    clear = Signal(name=f"clear{index}")
    m.d.sync += clear.eq(word.clear)
    m.d.comb += [lane.refill.word.eq(arriving.beside), lane.clear.eq(clear)]
    for name in ("mask_en", "weight_en"):
        enable = Signal(name=f"{name}{index}_dealt")
        if len(word.refill[name]):
            m.d.sync += enable.eq(word.refill[name] & chosen)
            m.d.comb += lane.refill[name].eq(enable)
