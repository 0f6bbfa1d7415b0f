"""What a graph that was cut leaves in a compiled folder, and what people are told of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .cut import Cut, Part

__all__ = ["WrittenGraph", "placement_lines", "write_graph"]


@dataclass(frozen=True)
class WrittenGraph:
    """parts: the folders of the parts, empty. section: the manifest's ``graph``."""

    parts: tuple[Path, ...]
    section: Mapping[str, Any]


def write_graph(folder: Path, cut: Cut, sizes: Mapping[str, Sequence[int | None]]) -> WrittenGraph:
    """Write the host's pieces, and make a folder for each part.

    Parameters
    ----------
    sizes: of each of the model's inputs, those that it fixes.
    """
    stages: list[dict[str, Any]] = []
    parts: list[Path] = []
    for stage in cut.stages:
        if isinstance(stage, Part):
            place = folder / "parts" / str(len(parts))
            place.mkdir(parents=True)
            parts.append(place)
            outputs = [entry["name"] for entry in stage.network.io["outputs"]]
            stages.append({"part": str(place.relative_to(folder)), "outputs": outputs})
            continue
        place = folder / "host" / f"{len(stages)}.onnx"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(stage.model.SerializeToString(deterministic=True))
        stages.append({"host": str(place.relative_to(folder)), "outputs": stage.outputs})
    section = {
        "inputs": {name: list(each) for name, each in sizes.items()},
        "outputs": cut.graph.outputs,
        "stages": stages,
    }
    return WrittenGraph(tuple(parts), section)


def placement_lines(cut: Cut) -> list[str]:
    """Which operators run where, with their share of the multiplications, for people."""
    lines = []
    number = 0
    every = sum(cut.products.values())
    for stage in cut.stages:
        operators = Counter(cut.graph.nodes[node].op_type for node in sorted(stage.nodes))
        text = ", ".join(f"{count} {name}" for name, count in operators.items())
        own = sum(cut.products.get(node, 0) for node in stage.nodes)
        share = f"; {100 * own / every:.3g} % of the multiplications" if every else ""
        if isinstance(stage, Part):
            lines.append(f"machine        part {number}: {text}{share}")
            number += 1
        else:
            lines.append(f"host           {text}, in ONNX Runtime{share}")
    return lines
