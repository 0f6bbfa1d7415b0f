"""The rooms of the code and what may import what: downwards alone (docs/architecture.md)."""

import ast
import re
from pathlib import Path

import pytest

#: Rooms by floor, the lowest first. A room imports itself and lower floors, never its neighbours.
FLOORS = (
    ("hdl/errors", "sim/errors", "sim/aliases", "gen/errors"),
    ("hdl/common", "hdl/verilog", "hdl/descriptor"),
    ("hdl/macros",),
    ("hdl/arithmetic",),
    ("hdl/machine",),
    ("hdl/host",),
    ("hdl/refill",),
    ("hdl/link", "hdl/sparse", "hdl/dense"),
    ("hdl/emit",),
    ("hdl/placed",),
    ("hdl/baseline", "hdl/board", "hdl/bus", "sim/progress", "sim/threads", "sim/host_model"),
    ("sim/network",),
    ("sim/golden", "sim/host", "sim/reference"),
    ("sim/cycles", "sim/verilator"),
    ("sim/session",),
    ("sim/runner", "driver/transport"),
    ("driver/jobs", "driver/serial", "driver/states", "driver/stream"),
    ("driver/mapped", "driver/simulated", "driver/device"),
    ("driver/pynq",),
    ("gen/targets", "gen/network", "gen/output"),
    ("gen/boards", "gen/onnx", "gen/quantize", "gen/torch_modules"),
    ("gen/machines", "gen/graph"),
    ("gen/synth", "gen/torch_export"),
    ("gen/fit",),
    ("gen/estimate",),
    ("gen/compile",),
    ("gen/evaluate",),
    ("gen/report", "gen/campaign", "gen/energy"),
    ("gen/explore",),
    ("train/straight",),
    ("train/cells",),
    ("train/chain",),
    ("train/module",),
    ("train/pruning",),
    ("train/tune",),
    ("train/model",),
    ("train/__init__",),
    ("gen/bench",),
    ("gen/cli",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

#: Parts of rooms that know nothing of each other: their difference is the product.
APART = (
    ("hdl/sparse", "hdl/dense"),
    ("gen/machines/sparse", "gen/machines/dense"),
    ("sim/golden", "hdl"),
)


def imports(file: Path, checkout: Path) -> set[str]:
    """The project's modules that a file imports, as paths without suffix."""
    parts = file.relative_to(checkout).with_suffix("").parts
    package = parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [name.name.split(".") for name in node.names]
            found |= {"/".join(name[1:]) for name in names if name[0] == "sparnn"}
        if not isinstance(node, ast.ImportFrom):
            continue
        module = tuple(node.module.split(".")) if node.module else ()
        if node.level:
            module = ("sparnn", *package[: len(package) - node.level + 1], *module)
        if module[:1] == ("sparnn",):
            found |= {"/".join((*module[1:], name.name)) for name in node.names}
    return found


def sources(checkout: Path) -> list[Path]:
    return [
        file
        for top in ("hdl", "sim", "gen", "driver", "train")
        for file in sorted((checkout / top).rglob("*.py"))
        if file.name != "__init__.py" or len(file.read_text(encoding="utf-8").splitlines()) > 1
    ]


def room(path: str) -> str:
    return "/".join(path.split("/")[:2])


def test_imports_run_downwards(checkout: Path) -> None:
    wrong = []
    for file in sources(checkout):
        name = str(file.relative_to(checkout).with_suffix(""))
        for imported in imports(file, checkout):
            here, there = room(name), room(imported)
            if here != there and FLOOR[there] >= FLOOR[here]:
                wrong.append(f"{name} imports {imported}")
    assert wrong == []


def test_every_room_has_a_floor(checkout: Path) -> None:
    found = {room(str(file.relative_to(checkout).with_suffix(""))) for file in sources(checkout)}
    assert found == set(FLOOR)


@pytest.mark.parametrize(("one", "other"), APART)
def test_what_stays_apart(checkout: Path, one: str, other: str) -> None:
    for file in sources(checkout):
        name = str(file.relative_to(checkout))
        for here, there in ((one, other), (other, one)):
            if name.startswith(f"{here}/"):
                assert not [i for i in imports(file, checkout) if i.startswith(f"{there}/")], name


def test_only_the_compiler_asks_which_machine_it_is(checkout: Path) -> None:
    """Elsewhere the name in MACHINE chooses, from a table."""
    asked = []
    for file in sources(checkout):
        name = str(file.relative_to(checkout))
        text = file.read_text(encoding="utf-8")
        found = re.search(r"isinstance\([^()]*\b(Sparse|Dense)(Config|Machine|Placement)\b", text)
        if found and not name.startswith("gen/machines/") and name != "hdl/emit.py":
            asked.append(name)
    assert asked == []
