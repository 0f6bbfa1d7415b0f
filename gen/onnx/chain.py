"""The chain of layers that the importer finds, and the rules of a chain."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from sparnn.gen.errors import SparnnError
from sparnn.gen.network.model import FloatLayer

from .constants import Call
from .values import Axis, Signal, refuse

__all__ = ["Chain", "Draft", "assign", "assign_size"]


@dataclass
class Draft:
    """A layer under construction. ``version`` counts the nodes that were folded into it."""

    layer: FloatLayer
    reader: str
    version: int = 0
    uses: list[tuple[int, str]] = field(default_factory=list)


@dataclass
class Chain:
    """The layers found so far, and the graph inputs that they read."""

    drafts: list[Draft] = field(default_factory=list)
    x: tuple[str, tuple[Axis, ...]] | None = None
    states: dict[str, list[tuple[str, int, tuple[Axis, ...]]]] = field(default_factory=dict)
    graph_inputs: dict[str, tuple[Axis, ...]] = field(default_factory=dict)

    def connect(self, call: Call, signal: Signal) -> None:
        """Make ``signal`` the input of the layer that ``call`` adds next."""
        if signal.cell:
            raise refuse(
                call.node,
                f"reads the cell state Y_c ({call.node.input[0]!r}), which the layers of the "
                "machine cannot read; use Y or Y_h",
            )
        self.whole(signal, lambda what: refuse(call.node, what))
        if any(axis.role == "direction" and axis.size == 2 for axis in signal.axes):
            raise refuse(
                call.node,
                f"reads shape {signal.shape_text}, in which the two directions have an axis of "
                "their own; put them side by side (Transpose and Reshape) or add them (ReduceSum)",
            )
        if isinstance(signal.source, str):
            if self.drafts:
                raise refuse(
                    call.node,
                    f"reads graph input {signal.source!r} beside layer "
                    f"{self.drafts[-1].layer.name!r}; supported is one chain of layers, so split "
                    "the model into one file per chain",
                )
            self.x = (signal.source, self.graph_inputs[signal.source])
            return
        if signal.source != len(self.drafts) - 1:
            raise refuse(
                call.node,
                f"reads the output of layer {self.drafts[signal.source].layer.name!r}, which "
                f"layer {self.drafts[signal.source + 1].layer.name!r} reads already; supported is "
                "one chain of layers without branches, so split the model",
            )
        self.use(signal, f"layer {self.name(call)!r}")

    def whole(self, signal: Signal, error: Callable[[str], SparnnError]) -> None:
        """Refuse one direction of a bidirectional layer, or directions that are not merged."""
        if signal.direction is not None:
            raise error(
                "reads one direction of a bidirectional layer alone; only both are kept, side by "
                "side or added, so export the direction that is used as a layer of its own"
            )

    def use(self, signal: Signal, reader: str) -> None:
        """Note that ``reader`` needs exactly this version of a layer's output."""
        if isinstance(signal.source, int):
            self.drafts[signal.source].uses.append((signal.version, reader))

    def name(self, call: Call) -> str:
        """A name for the layer of this node, unique in the chain."""
        base = call.node.name or f"{call.node.op_type.lower()}{len(self.drafts)}"
        taken = {d.layer.name for d in self.drafts}
        name, count = base, 1
        while name in taken:
            name, count = f"{base}_{count}", count + 1
        return name

    def change(self, call: Call, signal: Signal, **changes: Any) -> Signal:
        """Fold a node into the layer that ``signal`` comes from."""
        draft = self.drafts[int(signal.source)]
        if signal.version != draft.version:
            raise refuse(
                call.node,
                f"reads layer {draft.layer.name!r} before its bias or activation, which another "
                "node applies to the same tensor; supported is one chain without branches",
            )
        draft.layer = replace(draft.layer, **changes)
        draft.version += 1
        return replace(signal, version=draft.version)

    def check_recurrent(self) -> None:
        """Refuse a model without a recurrent layer."""
        if all(d.layer.kind == "linear" for d in self.drafts):
            raise SparnnError(
                "the model holds no LSTM, GRU or RNN node that its outputs depend on; sparnn "
                "accelerates recurrent networks, so give it the recurrent part"
            )

    def finish(self) -> tuple[FloatLayer, ...]:
        """The layers, after checking that every reader sees a layer's final output."""
        for draft in self.drafts:
            for version, reader in draft.uses:
                if version != draft.version:
                    raise SparnnError(
                        f"{reader} reads layer {draft.layer.name!r} before its bias or activation "
                        "is applied, while others read it after; the machine has only the final "
                        "result of a layer, so remove one of the two"
                    )
        return tuple(d.layer for d in self.drafts)


def assign(call: Call, axis: Axis, role: str, what: str) -> None:
    """Give an axis its role, or refuse when it has another one."""
    if axis.role not in ("", role):
        raise refuse(
            call.node,
            f"reads as {role} axis of {what} one that is the {axis.role} axis elsewhere; check the "
            "Transpose before it",
        )
    axis.role = role


def assign_size(call: Call, axis: Axis, role: str, size: int, what: str) -> None:
    """``assign``, and check or set the size of the axis."""
    assign(call, axis, role, what)
    if axis.size not in (None, size):
        raise refuse(call.node, f"{what} has {axis.size} as size of its {role} axis, not {size}")
    axis.size = size
