"""Cells that stand as operators, unrolled or in the body of a loop, as recurrent nodes, proved."""

from collections.abc import Sequence

import numpy as np
from onnx import ModelProto

from sparnn.gen.errors import SparnnError

from .bodies import unlooped
from .host import Arrays, evaluate
from .inputs import drawn
from .near import near
from .rolled import rolled

__all__ = ["recognized"]

#: Operators without one of which a model holds no cell.
_TELLING = frozenset({"Loop", "Relu", "Scan", "Tanh"})
#: The size of open axes in a second trial, which the sample inputs do not have.
_OTHER = 7


def recognized(
    model: ModelProto, feeds: Sequence[Arrays]
) -> tuple[ModelProto, list[str], list[str]]:
    """The model with LSTM, GRU and RNN nodes in the place of cells that stand as operators.

    It runs in ONNX Runtime beside the original, on the sample inputs, on drawn ones of the same
    shape, and on drawn ones of other sizes where the model leaves sizes open.

    Parameters
    ----------
    feeds: sample inputs.

    Returns
    -------
    The model, as it is where there is no such cell; for people what was taken for what, and why
    cells were not.

    Raises
    ------
    SparnnError: what was found computes something else.
    """
    kinds = {node.op_type for node in model.graph.node}
    kinds |= {node.op_type for function in model.functions for node in function.node}
    if not kinds & _TELLING:
        return model, [], []
    try:
        small = _runnable(model, feeds)
    except SparnnError as error:
        return model, [], [str(error)]
    made, notes = unlooped(model, [small])
    try:
        made, more, refused = rolled(made, [small])
    except SparnnError as error:  # tensors that cannot be looked at, or what loops became
        if notes:
            raise SparnnError(f"{_refusal(notes)} ({error})") from error
        return model, [], []
    notes += more
    if notes:
        _compare(model, made, [*feeds[:1], _again(feeds[0]), *_others(model)], notes)
    return made, notes, refused


def _runnable(model: ModelProto, feeds: Sequence[Arrays]) -> Arrays:
    """Inputs on which ONNX Runtime runs the model, small ones if it takes them: what is not run is
    not looked at."""
    names = [value.name for value in model.graph.output]
    try:
        found = drawn(model)
        evaluate(model, [found], names)
    except SparnnError:
        found = dict(feeds[0])
        evaluate(model, [found], names)
    return found


def _again(feed: Arrays) -> Arrays:
    """Inputs of the same shapes, with drawn values where they are real numbers."""
    rng = np.random.default_rng(1)
    return {
        name: rng.normal(size=array.shape).astype(array.dtype) if array.dtype.kind == "f" else array
        for name, array in feed.items()
    }


def _others(model: ModelProto) -> Sequence[Arrays]:
    """Inputs of other sizes, where the model takes them; different ones along different axes, lest
    one axis is taken for another."""
    for apart in (True, False):
        try:
            found = drawn(model, _OTHER, apart=apart)
            evaluate(model, [found], [value.name for value in model.graph.output])
        except SparnnError:
            continue
        return [found]
    return []


def _compare(
    original: ModelProto, made: ModelProto, feeds: Sequence[Arrays], notes: list[str]
) -> None:
    names = [value.name for value in original.graph.output]
    wanted = evaluate(original, feeds, names)
    try:
        found = evaluate(made, feeds, names)
    except SparnnError as error:
        raise SparnnError(f"{_refusal(notes)} ({error})") from error
    for before, after in zip(wanted, found, strict=True):
        for name in names:
            a, b = np.asarray(before[name]), np.asarray(after[name])
            if not near(a, b):
                raise SparnnError(f"{_refusal(notes)} (output {name!r} differs)")


def _refusal(notes: Sequence[str]) -> str:
    return (
        f"the model holds cells as single operators, but the operators that were found for them "
        f"compute something else: {'; '.join(notes)}; export the model with the operators LSTM, "
        "GRU or RNN"
    )
