"""Points of a grid that is too large to look at as a whole: a search by Optuna's NSGA-II."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sparnn.gen.campaign.cluster import Cluster, Piece
from sparnn.gen.campaign.store import Store
from sparnn.gen.errors import SparnnError

from .models import model_points
from .space import Point, Space

__all__ = ["searched"]

#: Points that are asked for before any of them is known.
_BATCH = 50
_SEED = 1
_PRUNE, _ROWS, _DELTA = "[network] prune", "[network] rows", "[network] delta"


def searched(
    hands: Cluster,
    store: Store,
    kind: str,
    model: Path,
    calibrate: Path,
    space: Space,
    trials: int,
    objectives: Sequence[str],
) -> list[dict[str, Any]]:
    """What the models say of so many points of the grid, each chosen by those before it.

    The trials lie in a journal in the store's folder, so a search that was stopped goes on. Points
    that do not fit the board count by how they are, so that the search finds its way to those that
    do; points that are no machine are failed trials.

    Raises
    ------
    SparnnError: Optuna is not installed.
    """
    try:
        import optuna
        from optuna.storages.journal import JournalFileBackend
    except ImportError:
        raise SparnnError(
            "--trials needs Optuna: pip install 'sparnn[explore]', or leave it out"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal = store.folder / "optuna.journal"
    try:
        study = optuna.create_study(
            study_name=store.key("search", {"board": space.board.name, "axes": _axes(space)}),
            storage=optuna.storages.JournalStorage(JournalFileBackend(str(journal))),
            directions=["minimize"] * len(objectives),
            load_if_exists=True,
        )
    except ValueError:  # also UnicodeDecodeError, JSONDecodeError
        raise SparnnError(
            f"{journal} cannot be read: remove it; what was found of its points stays"
        ) from None
    axes: dict[str, optuna.distributions.BaseDistribution] = {
        name: optuna.distributions.CategoricalDistribution(choices)
        for name, choices in _axes(space).items()
    }
    known: dict[Point, dict[str, Any]] = {}

    def look(points: Sequence[Point]) -> None:
        new = list(dict.fromkeys(point for point in points if point not in known))
        board = space.board.name
        pieces = [
            Piece([board, [one.as_dict()]], model_points, (model, calibrate, board, [one]))
            for one in new
        ]
        for point, (result,) in zip(new, hands.run("Searching", store, kind, pieces), strict=True):
            known[point] = result

    before = [trial.params for trial in study.trials if trial.state.is_finished()]
    # Another seed for a search that goes on: the same one would draw again what was drawn.
    study.sampler = optuna.samplers.NSGAIISampler(
        population_size=_BATCH, seed=_SEED + len(study.trials)
    )
    look([_point(space, chosen) for chosen in before])
    for first in range(len(before), trials, _BATCH):
        asked = [study.ask(axes) for _ in range(min(_BATCH, trials - first))]
        points = [_point(space, trial.params) for trial in asked]
        look(points)
        for trial, point in zip(asked, points, strict=True):
            result = known[point]
            if "reason" in result:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial, [float(result[name]) for name in objectives])
    return list(known.values())


def _axes(space: Space) -> dict[str, tuple[float | None, ...]]:
    """Name -> choices of everything that differs between points."""
    return {**space.grid, _PRUNE: space.prune, _ROWS: space.rows, _DELTA: space.delta}


def _point(space: Space, chosen: Mapping[str, Any]) -> Point:
    values = tuple(sorted((name, chosen[name]) for name in space.grid))
    prune = chosen[_PRUNE]
    return Point(space.machine, values, prune, chosen[_ROWS] if prune else 1, chosen[_DELTA])
