"""A compiled folder as a sequence of stages: parts of the machine, and what the host runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.sim.errors import SimulationError
from sparnn.sim.golden.run import read_manifest
from sparnn.sim.host_model import HostModel
from sparnn.sim.network.arrays import IGNORED_ARRAYS, read_npz

__all__ = ["Arrays", "Stage", "Whole", "graph_feeds"]

Arrays = Mapping[str, npt.NDArray[Any]]
#: Runs a part's folder on its inputs, by name and in its layout; gives its outputs.
RunPart = Callable[[Path, Arrays], Arrays]


@dataclass(frozen=True)
class Stage:
    """One stage of a graph: a part of the machine, or a model that the host runs.

    Members
    -------
    part
        The folder of a part; None for the host's.
    host
        The host's model; None for a part.
    outputs
        What the stage gives.
    """

    part: Path | None
    host: Path | None
    outputs: tuple[str, ...]


class Whole:
    """The stages of a folder whose graph was cut.

    Members
    -------
    stages
        In the order in which they run.
    inputs
        Name -> the sizes that the model fixes, or None.
    outputs
        The model's, in its order.
    model
        The original, for the reference.
    """

    def __init__(self, folder: Path, graph: Mapping[str, Any]):
        try:
            self.stages = [
                Stage(
                    folder / stage["part"] if "part" in stage else None,
                    folder / stage["host"] if "host" in stage else None,
                    tuple(stage["outputs"]),
                )
                for stage in graph["stages"]
            ]
            self.inputs: dict[str, tuple[int | None, ...]] = {
                name: tuple(sizes) for name, sizes in graph["inputs"].items()
            }
            self.outputs: tuple[str, ...] = tuple(graph["outputs"])
        except (KeyError, TypeError, AttributeError) as error:
            raise SimulationError(
                f"{folder} has a damaged manifest ({type(error).__name__}: {error}): compile the "
                "model again"
            ) from error
        self.model = folder / "model.onnx"
        self._models: dict[Path, HostModel] = {}

    @classmethod
    def of(cls, folder: Path) -> "Whole | None":
        """The stages of a folder, or None where it is one part and nothing else."""
        graph = read_manifest(folder).get("graph")
        return None if graph is None else cls(Path(folder), graph)

    @property
    def parts(self) -> list[Path]:
        """The folders of the parts."""
        return [stage.part for stage in self.stages if stage.part is not None]

    def run(self, feed: Arrays, run_part: RunPart) -> dict[str, npt.NDArray[Any]]:
        """The model's outputs for one set of inputs.

        Raises
        ------
        SimulationError
            ONNX Runtime cannot run a piece, or whatever ``run_part`` raises.
        """
        known: dict[str, npt.NDArray[Any]] = dict(feed)
        for stage in self.stages:
            if stage.part is not None:
                known |= run_part(stage.part, known)
                continue
            assert stage.host is not None
            known |= self._host(stage.host).run(known, stage.outputs)
        return {name: known[name] for name in self.outputs}

    def type_of(self, name: str) -> str:
        """The type of an input or output, as ONNX Runtime writes it."""
        for stage in self.stages:
            if stage.host is not None:
                model = self._host(stage.host)
                if name in model.inputs or name in model.outputs:
                    return model.inputs.get(name) or model.outputs[name]
        return "tensor(float)"

    def _host(self, path: Path) -> HostModel:
        if path not in self._models:
            self._models[path] = HostModel(path, f"the host's {path.name}")
        return self._models[path]

    def read(self, path: Path) -> list[dict[str, npt.NDArray[Any]]]:
        """The sets of inputs in an npz file: see :func:`graph_feeds`."""
        return graph_feeds(read_npz(path), self.inputs, str(path))

    def joined(self, outputs: Sequence[Arrays]) -> dict[str, npt.NDArray[Any]]:
        """Outputs of several sets of inputs, one after the other along the axis of size 1."""
        if len(outputs) == 1:
            return dict(outputs[0])
        joined = {}
        for name, first in outputs[0].items():
            axis = next((k for k, size in enumerate(first.shape) if size == 1), None)
            if axis is None:
                raise SimulationError(
                    f"output {name!r} has no axis of size 1 along which several sequences could "
                    "lie: feed one at a time"
                )
            joined[name] = np.concatenate([one[name] for one in outputs], axis)
        return joined


def graph_feeds(
    arrays: Arrays, inputs: Mapping[str, Sequence[int | None]], where: str
) -> list[dict[str, npt.NDArray[Any]]]:
    """The sets of inputs that arrays hold: one, or where the model fixes an axis to 1 and arrays
    have more along it, one for each element.

    Parameters
    ----------
    inputs
        Name -> sizes that the model fixes, None where a size is open.
    where
        What messages call the arrays.

    Raises
    ------
    SimulationError
        An array is missing, unknown, not of numbers, or of a shape that the model does not take.
    """
    found = {name: array for name, array in arrays.items() if name not in IGNORED_ARRAYS}
    names = list(inputs)
    if len(names) == 1 and names[0] not in found and "x" in found:
        found[names[0]] = found.pop("x")
    missing = [name for name in names if name not in found]
    extra = sorted(set(found) - set(names))
    if missing or extra:
        problem = f"lacks {missing}" if missing else f"holds {extra} as well"
        raise SimulationError(
            f"{where} {problem}: it must hold one array for each of the model's inputs, {names}"
        )
    count, along = 1, dict[str, int]()
    for name, sizes in inputs.items():
        array = found[name]
        if array.dtype.kind not in "iufb":
            raise SimulationError(
                f"{where}: array {name!r} has the type {array.dtype}: give numbers"
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise SimulationError(f"{where}: array {name!r} holds NaN or infinities")
        expected = [size if size is not None else "any" for size in sizes]
        if array.ndim != len(sizes) or 0 in array.shape:
            raise SimulationError(
                f"{where}: array {name!r} has the shape {list(array.shape)}: the model takes "
                f"{expected}, at least one of each"
            )
        odd = [
            axis
            for axis, (have, want) in enumerate(zip(array.shape, sizes, strict=True))
            if want not in (None, have)
        ]
        several = [axis for axis in odd if sizes[axis] == 1]
        if (
            len(several) != len(odd)
            or len(odd) > 1
            or (odd and count not in (1, array.shape[odd[0]]))
        ):
            raise SimulationError(
                f"{where}: array {name!r} has the shape {list(array.shape)}: the model takes "
                f"{expected}; give arrays of these axes, or export the model with an open axis "
                "where sizes differ (PyTorch: dynamic_axes or dynamic_shapes)"
            )
        if odd:
            count, along[name] = array.shape[odd[0]], odd[0]
    return [
        {
            name: array.take([k], along[name]) if name in along else array
            for name, array in found.items()
        }
        for k in range(count)
    ]
