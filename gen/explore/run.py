"""`sparnn explore`: every point on models, then the best and a sample of the others measured."""

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from sparnn.gen.boards import BOARDS
from sparnn.gen.campaign.cluster import Cluster, Piece, cluster
from sparnn.gen.campaign.store import Store, code_digest
from sparnn.gen.errors import SparnnError
from sparnn.gen.evaluate.metrics import find_metric
from sparnn.gen.graph.read import read_model
from sparnn.gen.onnx.reader import load_onnx
from sparnn.gen.output.manifest import sha256

from .front import front
from .measure import evaluate_point, machine_toml, simulate_point, synthesize_point
from .models import model_points, placed_config
from .search import searched
from .space import Point, Space

__all__ = ["OBJECTIVES", "Exploration", "explore", "model_digest"]

#: What is best where it is least.
OBJECTIVES = ("cycles_per_step", "lut", "memory_bits", "energy_nj")

_MODELS, _EVALUATED, _SIMULATED, _SYNTHESIZED = "models", "evaluated", "simulated", "synthesized"
#: With an evaluation: its value, or less it where more is better.
_LOSS = "loss"
#: Points of the front that are printed.
_SHOWN = 10
#: Points that are looked at, at most: some hours on two cores.
_MOST = 1_000_000
#: Seed of the order in which points are taken that are measured beside the front.
_SEED = 1


@dataclass(frozen=True)
class Exploration:
    """What was found.

    Members
    -------
    points: that have a machine, as :func:`~sparnn.gen.explore.models.model_points` gives them.
    front: indices of those that none dominates and that fit the board.
    failed: reason -> how many points have none.
    simulated, synthesized: index of a point -> what was measured.
    commands: index of a point of the front, or of one measured beside it -> the command that
        compiles for it.
    metric: by which points have a ``quality``; "" without an evaluation.
    """

    model: str
    board: str
    points: Sequence[Mapping[str, Any]]
    front: Sequence[int]
    failed: Mapping[str, int]
    simulated: Mapping[int, Mapping[str, Any]]
    synthesized: Mapping[int, Mapping[str, Any]]
    commands: Mapping[int, str]
    metric: str = ""

    def lines(self) -> list[str]:
        """For people."""
        fitting = sum(not one["short"] for one in self.points)
        lines = [
            f"points         {len(self.points):,} on models, {fitting:,} of them fit {self.board}; "
            f"{sum(self.failed.values()):,} are no machine for this network"
        ]
        if self.failed:
            most = max(self.failed, key=lambda reason: self.failed[reason])
            lines.append(f"no machine     {self.failed[most]:,} times: {most}")
        for name, errors in self.errors().items():
            if errors:
                size = sorted(map(abs, errors))
                lines.append(
                    f"model error    {name}: median {size[len(size) // 2]:.1%}, "
                    f"worst {size[-1]:.1%} of {len(size)} measured"
                )
        wrong = sum(not one.get("bit_exact", True) for one in self.simulated.values())
        if self.simulated:
            said = "all bit exact" if not wrong else f"{wrong} NOT bit exact"
            lines.append(f"simulated      {len(self.simulated)} points, {said}")
        for kind, found in (("simulated", self.simulated), ("synthesized", self.synthesized)):
            reasons = [one["reason"] for one in found.values() if "reason" in one]
            if reasons:
                lines.append(f"not {kind:<11}{len(reasons)} of these, the first: {reasons[0]}")
        lines += [f"best           {self.line(index)}" for index in self.front[:_SHOWN]]
        if len(self.front) > _SHOWN:
            lines.append(f"               and {len(self.front) - _SHOWN} more, see the page")
        return lines

    def line(self, index: int) -> str:
        """One point, for people."""
        one = self.points[index]
        point = Point.of(one["point"])
        quality = f"{self.metric} {one['quality']:.4g}, " if self.metric else ""
        return (
            f"{one['cycles_per_step']:,.0f} cycles ({self.us(one):.3g} µs) a step, "
            f"{one['lut']:,} LUT, "
            f"{one['memory_bits'] / 8192:,.0f} KB, {one['energy_nj']:,.3g} nJ, {quality}"
            f"{point.text()}"
        )

    def us(self, one: Mapping[str, Any]) -> float:
        """Microseconds a step of a point, at the board's clock."""
        return float(one["cycles_per_step"]) / BOARDS[self.board].machine_mhz

    def errors(self) -> dict[str, list[float]]:
        """Model over measurement, less one: of cycles and of LUTs."""
        cycles = []
        for index, one in self.simulated.items():
            if "cycles_per_step" in one:
                steps = one["steps"] / one["sequences"]
                point = self.points[index]
                expected = point["first_cycles"] + (steps - 1) * point["steady_cycles"]
                cycles.append(expected / steps / one["cycles_per_step"] - 1)
        luts = [
            self.points[index]["lut"] / one["lut"] - 1
            for index, one in self.synthesized.items()
            if "lut" in one
        ]
        return {"cycles": cycles, "lut": luts}

    @property
    def beside(self) -> list[int]:
        """Points that were measured and are not of the front."""
        return [index for index in self.commands if index not in set(self.front)]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        front, beside = (
            [
                dict(self.points[index])
                | {"command": self.commands[index]}
                | {"simulated": self.simulated.get(index)}
                | {"synthesized": self.synthesized.get(index)}
                for index in some
            ]
            for some in (self.front, self.beside)
        )
        return {
            "model": self.model,
            "board": self.board,
            "points": len(self.points),
            "failed": dict(self.failed),
            "metric": self.metric,
            "front": front,
            "measured_beside": beside,
            "simulated": len(self.simulated),
            "bit_exact": all(one.get("bit_exact", True) for one in self.simulated.values()),
            "synthesized": len(self.synthesized),
            "errors": self.errors(),
        }


def explore(
    model: Path,
    calibrate: Path,
    space: Space,
    output: Path,
    *,
    points: int | None = None,
    trials: int | None = None,
    simulate: int = 0,
    synthesize: int = 0,
    workers: int = 2,
    scheduler: str | None = None,
    data: Path | None = None,
    metric: str = "accuracy",
) -> Exploration:
    """Look at all points of a space.

    What was computed stays in ``output``, so a run that was stopped goes on where it was, and
    several machines may share the folder.

    Parameters
    ----------
    points: at most so many of the grid, drawn with a fixed seed; None: all.
    trials: instead, so many that a search chooses (:mod:`.search`).
    simulate, synthesize: points that are measured, the front's first, then a seeded sample.
    workers: processes of the local cluster. scheduler: address of a Dask scheduler instead.
    data, metric: by which every width, pruning and threshold is evaluated, as
        :func:`~sparnn.gen.evaluate.evaluate.evaluate` does; then quality counts as well. More is
        better of a metric of one's own.

    Raises
    ------
    SparnnError: a model that cannot be read, a folder of something else, no scheduler there, no
        point that holds the network.
    """
    if points is not None and trials is not None:
        raise SparnnError("--points draws from the grid and --trials searches it: leave one out")
    drawn = [] if trials is not None else _drawn(space, points)
    find_metric(metric)
    model, calibrate = Path(model).resolve(), Path(calibrate).resolve()
    read_model(model, calibrate)
    what = {"code": code_digest(), "model": model_digest(model), "calibrate": sha256(calibrate)}
    store = Store(Path(output), "explore", what)
    board = space.board.name
    objectives: Sequence[str] = OBJECTIVES
    with cluster(workers, scheduler) as hands:
        if trials is not None:
            searching = (model, calibrate, space, trials, OBJECTIVES)
            found = searched(hands, store, _MODELS, *searching)
        else:
            found = _on_models(hands, store, model, calibrate, board, drawn)
        if data is not None:
            _evaluate(hands, store, model, calibrate, Path(data).resolve(), metric, found)
            objectives = (*OBJECTIVES, _LOSS)
        good = [one for one in found if "reason" not in one]
        failed: dict[str, int] = {}
        for one in found:
            if "reason" in one:
                failed[one["reason"]] = failed.get(one["reason"], 0) + 1
        fitting = [index for index, one in enumerate(good) if not one["short"]]
        if not fitting:
            raise SparnnError(_nothing(good, failed, board))
        best = [fitting[k] for k in front([good[index] for index in fitting], objectives)]
        others = [index for index in fitting if index not in set(best)]
        random.Random(_SEED).shuffle(others)
        measured: list[Mapping[int, Mapping[str, Any]]] = []
        for kind, count, title, function, more in (
            (_SIMULATED, simulate, "Simulating points", simulate_point, ()),
            (_SYNTHESIZED, synthesize, "Synthesizing points", synthesize_point, (board,)),
        ):
            some = _spread(best, others, count)
            chosen = [good[index]["point"] for index in some]
            pieces = [
                Piece([board, one], function, (model, calibrate, *more, Point.of(one)))
                for one in chosen
            ]
            measured.append(dict(zip(some, hands.run(title, store, kind, pieces), strict=True)))
    commands = {
        index: _command(store, model, calibrate, Point.of(good[index]["point"]))
        for index in dict.fromkeys([*best, *measured[0], *measured[1]])
    }
    said = "" if data is None else metric
    return Exploration(
        model.name, board, good, best, failed, measured[0], measured[1], commands, said
    )


def model_digest(model: Path) -> str:
    """The hash of a model, its weights included where they are in a file of their own."""
    return hashlib.sha256(load_onnx(model).SerializeToString(deterministic=True)).hexdigest()


def _drawn(space: Space, points: int | None) -> list[Point]:
    """The grid, or so many of its points."""
    count = space.size if points is None else min(points, space.size)
    if count > _MOST:
        raise SparnnError(
            f"the space has {space.size:,} points, and all of at most {_MOST:,} are looked at: "
            "look at some of them with --points N or --trials N"
        )
    if count == space.size:
        return list(dict.fromkeys(space.points()))
    numbers = random.Random(_SEED).sample(range(space.size), count)
    return list(dict.fromkeys(map(space.point, numbers)))


def _on_models(
    hands: Cluster,
    store: Store,
    model: Path,
    calibrate: Path,
    board: str,
    points: Sequence[Point],
) -> list[dict[str, Any]]:
    """What the models say of each point; those that one layout serves are one piece of work."""
    groups: dict[Point, list[Point]] = {}
    for point in points:
        groups.setdefault(point.placed_as, []).append(point)
    pieces = [
        Piece(
            [board, [one.as_dict() for one in group]],
            model_points,
            (model, calibrate, board, group),
            len(group),
        )
        for group in groups.values()
    ]
    found = hands.run("Evaluating points", store, _MODELS, pieces)
    return [one for group in found for one in group]


def _evaluate(
    hands: Cluster,
    store: Store,
    model: Path,
    calibrate: Path,
    data: Path,
    metric: str,
    found: list[dict[str, Any]],
) -> None:
    """Give every point its ``quality`` and ``loss``, or the reason why it has none. What numbers a
    machine gives follows from a few of its values, so one point of each kind is evaluated."""
    better = find_metric(metric).better
    own, _, function = metric.rpartition(":")
    by = [sha256(data), function, sha256(Path(own)) if own else ""]
    known_as = f"{Path(own).resolve()}:{function}" if own else metric
    kinds: dict[Point, list[dict[str, Any]]] = {}
    for one in found:
        if "reason" not in one:
            kinds.setdefault(Point.of(one["point"]).numbers_as, []).append(one)
    pieces = [
        Piece(
            [*by, kind.as_dict()],
            evaluate_point,
            (model, calibrate, data, known_as, Point.of(group[0]["point"])),
        )
        for kind, group in kinds.items()
    ]
    results = hands.run("Evaluating outputs", store, _EVALUATED, pieces)
    if results and all("reason" in one for one in results):
        raise SparnnError(f"--data {data}: {results[0]['reason']}")
    for group, result in zip(kinds.values(), results, strict=True):
        if "reason" not in result:
            value = result["quality"]
            result = result | {_LOSS: value if better == "less" else -value}
        for one in group:
            one |= result


def _spread(best: Sequence[int], others: Sequence[int], count: int) -> list[int]:
    """Two thirds of the front, evenly, and one third of the others."""
    of_front = min(len(best), count - min(len(others), count // 3))
    step = len(best) / max(1, of_front)
    some = [best[int(k * step)] for k in range(of_front)]
    return some + list(others[: count - of_front])


def _nothing(good: Sequence[Any], failed: Mapping[str, int], board: str) -> str:
    if good:
        least = min(good, key=lambda one: float(one["lut"]))
        return (
            f"no point holds the network on {board}: the smallest one, "
            f"{Point.of(least['point']).text()}, does not fit, {least['short']}; "
            "take another board, a pruned network or smaller machines"
        )
    most = max(failed, key=lambda reason: failed[reason])
    return f"no point of the space is a machine for this network; most often because: {most}"


def _command(store: Store, model: Path, calibrate: Path, point: Point) -> str:
    """How to compile for a point, whose machine is written into the folder."""
    text = machine_toml(placed_config(model, calibrate, point))
    folder = store.folder / "machines"
    folder.mkdir(exist_ok=True)
    file = folder / f"{store.key('machine', point.as_dict())}.toml"
    file.write_text(text, encoding="utf-8")
    prune = f" --prune {point.prune:g}" if point.prune else ""
    prune += f" --prune-rows {point.rows}" if point.rows > 1 else ""
    delta = f" --delta {point.delta:g}" if point.delta is not None else ""
    return (
        f"sparnn compile {quote(str(model))} --calibrate {quote(str(calibrate))} "
        f"--config {quote(str(file.resolve()))}"
        f"{prune}{delta} -o out"
    )
