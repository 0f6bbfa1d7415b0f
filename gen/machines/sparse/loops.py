"""Which layers run together, and how many steps each takes."""

from collections.abc import Sequence

from sparnn.gen.machines.shared.steps import single_steps
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.network.network import IntegerLayer, IntegerNetwork

__all__ = ["loops"]

#: What the two layers of one loop share; the machine holds one value of each.
_COMMON = (
    *("kind", "activation", "gate", "candidate", "cell", "clip"),
    *("units", "inputs", "f_x", "f_pre", "f_state", "f_out", "out_bits"),
    *("delta_x", "delta_h", "cell_shift"),
)


def loops(
    network: IntegerNetwork,
    config: SparseConfig,
    *,
    v: Sequence[int] | None = None,
    interleave: bool = True,
) -> list[tuple[int, ...]]:
    """The layers of each loop, in the order in which they run.

    A loop is one layer, or on a machine with two ``threads`` a forward layer and the reverse one
    that is joined with it, if they are alike. ``v``: a given V of each layer.
    """
    single = single_steps(network)
    found: list[tuple[int, ...]] = []
    for stage in network.stages:
        together = (
            interleave
            and config.threads == 2
            and len(stage) == 2
            and not single[stage[0]]
            and (v is None or v[stage[0]] == v[stage[1]])
            and _alike(network.layers[stage[0]], network.layers[stage[1]])
        )
        found += [stage] if together else [(index,) for index in stage]
    return found


def _alike(first: IntegerLayer, second: IntegerLayer) -> bool:
    return (
        not first.reverse
        and second.reverse
        and (first.w_c is None) == (second.w_c is None)
        and all(getattr(first, name) == getattr(second, name) for name in _COMMON)
    )
