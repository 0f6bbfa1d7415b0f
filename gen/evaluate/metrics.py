"""Measures of a model's outputs beside the right ones."""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.gen.errors import SparnnError

__all__ = ["METRICS", "Metric", "find_metric"]

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Metric:
    """One measure.

    Members
    -------
    name: as it was asked for. unit: for people. better: ``more`` or ``less``; "" where that is not
        known.
    of: outputs and all arrays of the data file -> the value.
    """

    name: str
    unit: str
    better: str
    of: Callable[[Arrays, Arrays], float]


def find_metric(name: str) -> Metric:
    """A metric by its name, or a function of the user's own: ``FILE.py:function``.

    The file is executed, as the user has asked for by naming it. The function takes the outputs and
    the arrays of the data file, two mappings of arrays by name, and gives a number.

    Raises
    ------
    SparnnError: there is none, or the file has no such function.
    """
    if name in METRICS:
        return METRICS[name]
    path, colon, function = name.rpartition(":")
    if not colon or not path.endswith(".py"):
        raise SparnnError(
            f"--metric {name}: use one of {', '.join(METRICS)}, or FILE.py:function for your own"
        )
    if not Path(path).is_file():
        raise SparnnError(f"--metric {name}: there is no file {path}")
    spec = importlib.util.spec_from_file_location("sparnn_metric", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise SparnnError(f"--metric {name}: {path} fails ({error!r}); correct it") from error
    found = getattr(module, function, None)
    if not callable(found):
        raise SparnnError(f"--metric {name}: {path} has no function {function}")

    def own(outputs: Arrays, data: Arrays) -> float:
        try:
            return float(found(outputs, data))
        except Exception as error:
            raise SparnnError(
                f"--metric {name}: {function} fails ({error!r}); it is given two mappings, of "
                f"the outputs {sorted(outputs)} and of the data {sorted(data)}"
            ) from error

    return Metric(name, "", "", own)


def _answer(data: Arrays, *names: str) -> npt.NDArray[Any]:
    for name in names:
        if name in data:
            return data[name]
    raise SparnnError(
        f"the data hold {sorted(data)} and no {' or '.join(names)}, which the metric compares "
        f"with; add an array {names[0]!r}"
    )


def _first(outputs: Arrays) -> npt.NDArray[Any]:
    return next(iter(outputs.values()))


def _accuracy(outputs: Arrays, data: Arrays) -> float:
    """Share of the largest outputs that are the right class."""
    scores, labels = _first(outputs), np.asarray(_answer(data, "labels"))
    classes = np.argmax(scores, axis=-1).reshape(-1)
    if classes.size != labels.size:
        raise SparnnError(
            f"the output has the shape {list(scores.shape)} and labels {list(labels.shape)}: the "
            "last axis of the output has to be the classes, the others those of labels"
        )
    return float(np.mean(classes == labels.reshape(-1)))


def _targets(outputs: Arrays, data: Arrays) -> list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """Each output with what it should be: ``target``, or an array of its own name."""
    if len(outputs) == 1:
        (name,) = outputs
        pairs = [(outputs[name], _answer(data, "target", name))]
    else:
        pairs = [(found, _answer(data, name)) for name, found in outputs.items()]
    for found, wanted in pairs:
        if found.shape != wanted.shape:
            raise SparnnError(
                f"the output has the shape {list(found.shape)} and its target "
                f"{list(wanted.shape)}: give the target in the model's layout"
            )
    return [(np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in pairs]


def _mse(outputs: Arrays, data: Arrays) -> float:
    """Mean squared error."""
    errors = [((found - wanted) ** 2).reshape(-1) for found, wanted in _targets(outputs, data)]
    return float(np.mean(np.concatenate(errors)))


def _sisdr(outputs: Arrays, data: Arrays) -> float:
    """Scale-invariant signal to distortion ratio, over all outputs together, in decibels."""
    pairs = _targets(outputs, data)
    found, wanted = (np.concatenate([pair[k].reshape(-1) for pair in pairs]) for k in (0, 1))
    part = (found @ wanted) / max(float(wanted @ wanted), 1e-30) * wanted
    noise = float(((found - part) ** 2).sum())
    return 10 * float(np.log10(max(float((part**2).sum()), 1e-30) / max(noise, 1e-30)))


def _cer(outputs: Arrays, data: Arrays) -> float:
    """Character error rate of the best path (CTC, blank 0) of [time, batch, classes]."""
    scores, labels = _first(outputs), np.asarray(_answer(data, "labels"))
    if scores.ndim != 3 or labels.ndim != 2 or scores.shape[1] != len(labels):
        raise SparnnError(
            f"cer reads an output [time, batch, classes] and labels [batch, characters], with -1 "
            f"behind the end; they are {list(scores.shape)} and {list(labels.shape)}"
        )
    best = np.argmax(scores, axis=-1)
    wrong = total = 0
    for number, wanted in enumerate(labels):
        path = best[:, number]
        kept = path[np.concatenate([[True], path[1:] != path[:-1]])]
        right = wanted[wanted >= 0]
        wrong += _distance(kept[kept != 0].tolist(), right.tolist())
        total += len(right)
    return wrong / max(1, total)


def _distance(found: list[int], wanted: list[int]) -> int:
    """Insertions, deletions and exchanges between two words."""
    row = list(range(len(wanted) + 1))
    for i, one in enumerate(found, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(wanted, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (one != other))
    return row[-1]


METRICS: Mapping[str, Metric] = {
    "accuracy": Metric("accuracy", "", "more", _accuracy),
    "mse": Metric("mse", "", "less", _mse),
    "sisdr": Metric("sisdr", "dB", "more", _sisdr),
    "cer": Metric("cer", "", "less", _cer),
}
