"""Graphs whose recurrent layers stand in branches of `If`, with the branches that are taken.

Exporters write `If` for questions that sizes or one scalar input answer: how many axes there are,
how long the signal is, which sampling rate it has. With the sample inputs they have answers.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, ModelProto, NodeProto, numpy_helper

from sparnn.gen.errors import SparnnError

from .cut import RECURRENT
from .host import evaluate
from .near import near

__all__ = ["has_branches", "specialized"]

Arrays = Mapping[str, npt.NDArray[Any]]

#: Nodes of bodies, each as often as it is deep, that the optimizer takes a few seconds for.
#: silero-vad's file has 1,270.
_MOST_NESTING = 10_000


def specialized(model: ModelProto, arrays: Arrays) -> tuple[ModelProto, dict[str, Any], list[str]]:
    """The model as it is where no recurrent node stands in a branch; else what it is for these
    inputs.

    Scalars among the inputs become constants; then, as far as it takes that, sizes that the file
    leaves open become those of the sample inputs: first all but the batch's, at last all. The
    result is run beside the original.

    Parameters
    ----------
    arrays: sample inputs by name, of the whole batch. None of them: only constants decide.

    Returns
    -------
    The model, the arrays of its inputs, and what was fixed, for people.

    Raises
    ------
    SparnnError: the inputs do not answer a question, or the answer would be another network.
    """
    given = dict(arrays)
    if not has_branches(model):
        return model, given, []
    weight = _nesting(model.graph)
    if weight > _MOST_NESTING:
        raise SparnnError(
            f"branches lie in branches: their nodes, each as often as it is deep, are {weight}, "
            f"the limit is {_MOST_NESTING}; export the model without control flow"
        )
    fixed = ModelProto()
    fixed.CopyFrom(model)
    scalars = {value.name for value in model.graph.input if not _rank(value)} & set(given)
    for name in sorted(scalars):
        _fix(fixed, name, given.pop(name))
    notes = [f"{name} is {arrays[name].item()}, a constant" for name in sorted(scalars)]
    for keep_batch in (None, True, False):
        sized, sizes = fixed, dict[str, list[int]]()
        if keep_batch is not None:
            sized, sizes = _with_sizes(fixed, given, keep_batch)
        found = _folded(sized)
        if not has_branches(found):
            break
    else:
        raise SparnnError(_undecided(found, model))
    notes += [f"{name} has the sizes {shape}" for name, shape in sizes.items()]
    if arrays:
        _compare(model, found, arrays, given)
    return found, given, notes


def has_branches(model: ModelProto) -> bool:
    """Whether a recurrent node stands in a body."""
    return any(
        node.op_type in RECURRENT
        for outer in model.graph.node
        for body in _bodies(outer)
        for node in _all_nodes(body)
    )


def _nesting(graph: GraphProto, depth: int = 0) -> int:
    """The nodes of all bodies, each counted as often as it is deep."""
    bodies = [body for node in graph.node for body in _bodies(node)]
    return depth * len(graph.node) + sum(_nesting(body, depth + 1) for body in bodies)


def _bodies(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g


def _all_nodes(graph: GraphProto) -> Iterator[NodeProto]:
    for node in graph.node:
        yield node
        for body in _bodies(node):
            yield from _all_nodes(body)


def _rank(value: Any) -> int:
    return len(value.type.tensor_type.shape.dim)


def _fix(model: ModelProto, name: str, array: npt.NDArray[Any]) -> None:
    """An input becomes a constant."""
    (place,) = (k for k, value in enumerate(model.graph.input) if value.name == name)
    del model.graph.input[place]
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))


def _with_sizes(
    model: ModelProto, arrays: Arrays, keep_batch: bool
) -> tuple[ModelProto, dict[str, list[int]]]:
    """The model with the arrays' sizes. ``keep_batch``: those of the batch stay open, which is
    whatever is as long as the first input's first axis."""
    copy = ModelProto()
    copy.CopyFrom(model)
    found: dict[str, list[int]] = {}
    batch = None
    for value in copy.graph.input:
        if value.name not in arrays or _rank(value) != arrays[value.name].ndim:
            continue
        shape = arrays[value.name].shape
        batch = shape[0] if batch is None and shape else batch
        for dim, size in zip(value.type.tensor_type.shape.dim, shape, strict=True):
            if dim.dim_value:
                continue
            if keep_batch and size == batch:
                dim.dim_param = "batch"
            else:
                dim.dim_value = size
                found[value.name] = list(shape)
    return copy, found


def _folded(model: ModelProto) -> ModelProto:
    """Constants folded, and branches whose condition became one put in the place of their `If`."""
    try:
        import onnxscript.optimizer
    except ImportError:
        raise SparnnError(
            "recurrent layers stand in branches of the graph, which are decided by onnxscript: "
            "pip install 'sparnn[branches]'"
        ) from None
    # What the optimizer leaves as it is, it says; it is not the user's concern.
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)
    try:
        found = onnxscript.optimizer.optimize(model)
    except Exception as error:  # whatever the optimizer raises of a file that it cannot take
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SparnnError(f"the branches of the graph cannot be decided ({line})") from error
    assert isinstance(found, ModelProto)
    return found


def _undecided(model: ModelProto, original: ModelProto) -> str:
    """What a branch with a recurrent node depends on."""
    made = {name: node for node in model.graph.node for name in node.output}
    (first, *_) = (
        node
        for node in model.graph.node
        if any(one.op_type in RECURRENT for body in _bodies(node) for one in _all_nodes(body))
    )
    inputs = {value.name for value in model.graph.input}
    seen: set[str] = set()
    wanted = [first.input[0]] if first.op_type == "If" else []
    while wanted:
        name = wanted.pop()
        if name not in seen:
            seen.add(name)
            wanted += [one for one in made[name].input if one] if name in made else []
    asks = sorted(seen & inputs)
    scalars = {value.name for value in original.graph.input if not _rank(value)}
    way = "export the model with fixed shapes, without control flow"
    if set(asks) & scalars:
        way = f"give sample inputs that hold {', '.join(sorted(set(asks) & scalars))} as a scalar"
    if first.op_type != "If":
        return (
            f"node {first.name!r} ({first.op_type}): a recurrent layer stands in its body, which "
            "runs once for each step; export it on the whole sequence, in PyTorch nn.LSTM, nn.GRU "
            "or nn.RNN instead of its cell in a scripted loop"
        )
    what = f"depends on {', '.join(asks)}" if asks else "is not known before the model runs"
    return (
        f"node {first.name!r} ({first.op_type}): the recurrent layers stand in its body, and which "
        f"one runs {what}; {way}"
    )


def _compare(original: ModelProto, found: ModelProto, arrays: Arrays, given: Arrays) -> None:
    """Raise where the two do not compute the same of the sample inputs."""
    names = [value.name for value in original.graph.output]
    results = []
    for model, feeds in ((original, arrays), (found, given)):
        weights = {tensor.name for tensor in model.graph.initializer}
        missing = {value.name for value in model.graph.input} - weights - set(feeds)
        if missing:
            raise SparnnError(f"the sample inputs have no {min(missing)!r}, an input of the model")
        (outputs,) = evaluate(model, [feeds], names)
        results.append(outputs)
    before, after = results
    for name in names:
        if not near(before[name], after[name]):
            raise SparnnError(
                f"the output {name!r} is another one without the branches of the graph; "
                "export the model without control flow"
            )
