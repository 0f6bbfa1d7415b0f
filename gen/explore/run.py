"""`sparnn explore`: every point on models, then the best and a sample of the others measured."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from sparnn.gen.errors import SparnnError
from sparnn.gen.output.manifest import sha256
from sparnn.sim.progress import progress

from .front import front
from .measure import machine_toml, simulate_point, synthesize_point
from .models import model_points, placed_config
from .space import Point, Space
from .store import Store, code_digest

__all__ = ["OBJECTIVES", "Exploration", "explore"]

#: What is best where it is least.
OBJECTIVES = ("cycles_per_step", "lut", "memory_bits")

_MODELS, _SIMULATED, _SYNTHESIZED = "models", "simulated", "synthesized"
#: Points of the front that are printed.
_SHOWN = 10
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
    commands: index of a point of the front -> the command that compiles for it.
    """

    model: str
    board: str
    points: Sequence[Mapping[str, Any]]
    front: Sequence[int]
    failed: Mapping[str, int]
    simulated: Mapping[int, Mapping[str, Any]]
    synthesized: Mapping[int, Mapping[str, Any]]
    commands: Mapping[int, str]

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
        lines += [f"best           {self.line(index)}" for index in self.front[:_SHOWN]]
        if len(self.front) > _SHOWN:
            lines.append(f"               and {len(self.front) - _SHOWN} more, see the page")
        return lines

    def line(self, index: int) -> str:
        """One point, for people."""
        one = self.points[index]
        point = Point.of(one["point"])
        return (
            f"{one['cycles_per_step']:,.0f} cycles a step, {one['lut']:,} LUT, "
            f"{one['memory_bits'] / 8192:,.0f} KB: {point.text()}"
        )

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

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "model": self.model,
            "board": self.board,
            "points": len(self.points),
            "failed": dict(self.failed),
            "front": [
                dict(self.points[index])
                | {"command": self.commands[index]}
                | {"simulated": self.simulated.get(index)}
                | {"synthesized": self.synthesized.get(index)}
                for index in self.front
            ],
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
    simulate: int = 0,
    synthesize: int = 0,
    workers: int = 2,
    scheduler: str | None = None,
) -> Exploration:
    """Look at all points of a space.

    What was computed stays in ``output``, so a run that was stopped goes on where it was, and
    several machines may share the folder.

    Parameters
    ----------
    points: at most so many of the grid, drawn with a fixed seed; None: all.
    simulate, synthesize: points that are measured, the front's first, then a seeded sample.
    workers: processes of the local cluster. scheduler: address of a Dask scheduler instead.

    Raises
    ------
    SparnnError: a folder of something else, no scheduler there, no point that holds the network.
    """
    model, calibrate = Path(model).resolve(), Path(calibrate).resolve()
    what = {"code": code_digest(), "model": sha256(model), "calibrate": sha256(calibrate)}
    store = Store(Path(output), what)
    all_points = list(space.points())
    if points is not None and points < len(all_points):
        all_points = random.Random(_SEED).sample(all_points, points)
    groups: dict[Point, list[Point]] = {}
    for point in all_points:
        groups.setdefault(point.placed_as, []).append(point)
    board = space.board.name
    with _cluster(workers, scheduler) as run:
        work: list[tuple[Any, tuple[Any, ...]]] = [
            (
                [board, [one.as_dict() for one in group]],
                (model_points, model, calibrate, board, group),
            )
            for group in groups.values()
        ]
        sizes = [len(group) for group in groups.values()]
        modelled = run("Evaluating points", store, _MODELS, work, sizes)
        found = [one for group in modelled for one in group]
        good = [one for one in found if "reason" not in one]
        failed: dict[str, int] = {}
        for one in found:
            if "reason" in one:
                failed[one["reason"]] = failed.get(one["reason"], 0) + 1
        fitting = [index for index, one in enumerate(good) if not one["short"]]
        if not fitting:
            raise SparnnError(_nothing(good, failed, board))
        best = [fitting[k] for k in front([good[index] for index in fitting], OBJECTIVES)]
        others = [index for index in fitting if index not in set(best)]
        random.Random(_SEED).shuffle(others)
        measured = []
        for kind, count, title, call in (
            (_SIMULATED, simulate, "Simulating points", (simulate_point, model, calibrate)),
            (
                _SYNTHESIZED,
                synthesize,
                "Synthesizing points",
                (synthesize_point, model, calibrate, board),
            ),
        ):
            some = _spread(best, others, count)
            work = [
                ([board, good[index]["point"]], (*call, Point.of(good[index]["point"])))
                for index in some
            ]
            results = run(title, store, kind, work, [1] * len(some))
            measured.append(dict(zip(some, results, strict=True)))
    commands = {
        index: _command(store, model, calibrate, Point.of(good[index]["point"])) for index in best
    }
    return Exploration(model.name, board, good, best, failed, measured[0], measured[1], commands)


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
            f"no point holds the network on {board}: the smallest one, {least['point']['values']}, "
            f"{least['short']}; take another board, a pruned network or smaller machines"
        )
    if not failed:
        return "the space has no point; give each parameter of [grid] a value"
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
    delta = f" --delta {point.delta:g}" if point.delta is not None else ""
    return (
        f"sparnn compile {quote(str(model))} --calibrate {quote(str(calibrate))} "
        f"--config {quote(str(file))}"
        f"{prune}{delta} -o out"
    )


_Work = Sequence[tuple[Any, tuple[Any, ...]]]
_Run = Callable[[str, Store, str, _Work, Sequence[int]], list[Any]]


@contextmanager
def _cluster(workers: int, scheduler: str | None) -> Iterator[_Run]:
    """A function that does pieces of work on Dask workers, but those whose results are there."""
    try:
        from distributed import Client, LocalCluster, as_completed
    except ImportError:
        raise SparnnError("sparnn explore needs Dask: pip install 'sparnn[explore]'") from None
    if scheduler is None:
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address=None,
            silence_logs=40,
        )
        client = Client(cluster)
    else:
        cluster = None
        try:
            client = Client(scheduler, timeout=10)
        except (OSError, ValueError, TimeoutError):
            raise SparnnError(
                f"--scheduler {scheduler}: no Dask scheduler answers there; start one with "
                "`dask scheduler`, or leave the option out"
            ) from None

    def run(title: str, store: Store, kind: str, work: _Work, sizes: Sequence[int]) -> list[Any]:
        keys = [store.key(kind, content) for content, _ in work]
        results = [store.get(kind, key) for key in keys]
        missing = [index for index, one in enumerate(results) if one is None]
        with progress(title, sum(sizes)) as advance:
            advance(sum(sizes) - sum(sizes[index] for index in missing))
            futures = {
                client.submit(_call, *work[index][1], pure=False, retries=2): index
                for index in missing
            }
            for future, value in as_completed(futures, with_results=True):
                index = futures[future]
                results[index] = value
                store.put(kind, keys[index], value)
                advance(sizes[index])
        return results

    try:
        yield run
    finally:
        client.close()
        if cluster is not None:
            cluster.close()


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    """On the worker."""
    return function(*arguments)
