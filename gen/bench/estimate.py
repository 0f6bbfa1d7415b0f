"""`python -m sparnn.gen.bench.estimate`: estimates beside simulated cycles and synthesized areas.

The networks are drawn from a seed; none of them, and none of the machines, was looked at when the
models were made. Their rows are written into docs/results/estimate.json, and the tables of that
file into docs/results/fpga.md.
"""

import argparse
import datetime
import importlib.metadata
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sparnn.gen.estimate.cycles import loop_cycles, run_cycles
from sparnn.gen.fit.model import errors
from sparnn.gen.machines.backend import backend
from sparnn.gen.machines.presets import load_machine
from sparnn.gen.machines.verilog import kept_verilog
from sparnn.gen.network.model import GATES, FloatLayer, FloatNetwork
from sparnn.gen.quantize.activity import measure_activity
from sparnn.gen.quantize.calibrate import calibrate
from sparnn.gen.quantize.quantize import quantize
from sparnn.gen.targets import TARGETS
from sparnn.sim.golden.run import quantize_sequence
from sparnn.sim.host.packets import constant_states
from sparnn.sim.network.arrays import Sequence as InputSequence
from sparnn.sim.verilator.hardware import run_sequences

from .tables import write_pages

__all__ = ["CASES", "cycle_row", "drawn_network", "main"]

RESULTS = Path("docs/results/estimate.json")

#: Machine, lanes or None for a preset's, and of each layer its kind and units; inputs, share of
#: weights that are not zero, steps.
CASES: Sequence[tuple[str | None, int | None, tuple[tuple[str, int], ...], int, float, int]] = (
    (None, 1, (("gru", 24),), 16, 1.0, 20),
    (None, 4, (("lstm", 48), ("linear", 5)), 20, 1.0, 30),
    (None, 8, (("gru", 96), ("gru", 64)), 40, 0.5, 24),
    (None, 8, (("rnn", 128), ("linear", 10)), 32, 0.3, 40),
    (None, 16, (("lstm", 128),), 64, 0.7, 20),
    (None, 16, (("lstm", 96), ("lstm", 96)), 39, 0.25, 16),
    (None, 64, (("gru", 200),), 80, 1.0, 12),
    ("icebreaker", None, (("gru", 40),), 20, 1.0, 16),
    ("tang_nano_9k", None, (("lstm", 32), ("linear", 4)), 12, 0.8, 24),
    ("dense64", None, (("lstm", 100), ("linear", 12)), 40, 1.0, 20),
    ("dense64", None, (("gru", 64),), 64, 1.0, 30),
    (None, 8, (("lstm", 64),), 32, 0.5, 20),
    (None, 8, (("gru", 96), ("linear", 8)), 40, 1.0, 20),
)

#: Options of some cases' machines. The last one's queue holds one block of rows.
WIDE: Mapping[int, Mapping[str, int]] = {11: {"width": 4}, 12: {"width": 8, "masks": 0}}


def drawn_network(
    layers: Sequence[tuple[str, int]], inputs: int, density: float, seed: int
) -> FloatNetwork:
    """A float network with weights of the usual size."""
    rng = np.random.default_rng(seed)
    made = []
    width = inputs
    for number, (kind, units) in enumerate(layers):
        gates = len(GATES[kind])

        def weights(columns: int, rows: tuple[int, int] = (gates, units)) -> Any:
            drawn = rng.normal(size=(*rows, columns)) / np.sqrt(columns)
            return drawn * (rng.random(drawn.shape) < density)

        made.append(
            FloatLayer(
                name=f"layer{number}",
                kind=kind,
                activation={"rnn": "relu", "linear": "identity"}.get(kind, ""),
                w_x=weights(width),
                w_h=None if kind == "linear" else 0.7 * weights(units),
                b_x=0.1 * rng.normal(size=(gates, units)),
                b_h=np.zeros((gates, units)),
            )
        )
        width = units
    last = len(made) - 1
    entry = {"name": "y", "layer": last, "what": "sequence", "axes": ["time", "batch", "feature"]}
    x = {"name": "x", "role": "x", "layer": 0, "axes": ["time", "batch", "feature"]}
    io = {"inputs": [x | {"sizes": [None, None, inputs]}], "outputs": [entry]}
    return FloatNetwork(tuple(made), io)


def cycle_row(number: int) -> dict[str, Any]:
    """One case: the estimate from some sequences, the simulation of another one."""
    config, lanes, layers, inputs, density, steps = CASES[number]
    options = WIDE.get(number, {})
    network = drawn_network(layers, inputs, density, number)
    rng = np.random.default_rng(1000 + number)
    drawn = [rng.normal(size=(steps, inputs)) * (rng.random((steps, inputs)) < 0.8) for _ in "abcd"]
    sequences = [InputSequence(x, {}) for x in drawn]
    quantized = quantize(network, calibrate(network, sequences[:3]))
    integers = quantized.network
    activity = measure_activity(integers, sequences[:3])
    machine = load_machine(config, lanes)
    machine = replace(machine, **options)
    placed = backend(machine).place(
        integers, machine, quantized.io["outputs"], fit=True, activity=activity
    )
    estimate = run_cycles(loop_cycles(placed, activity), steps)
    with tempfile.TemporaryDirectory(prefix="sparnn-estimate-") as name:
        folder = Path(name)
        (folder / "image.bin").write_bytes(placed.image.astype("<u4").tobytes())
        (folder / "sparnn.v").write_text(kept_verilog(placed.config), encoding="utf-8")
        fed = quantize_sequence(integers, sequences[3])
        (result,), _ = run_sequences(
            folder, placed.program, [(fed.x, {**constant_states(integers), **fed.initial})]
        )
    return {
        "machine": (config or f"{lanes} lanes")
        + f" of {machine.mac_units // machine.lanes} rows" * (options != {}),
        "network": " + ".join(f"{kind} {units}" for kind, units in layers),
        "inputs": inputs,
        "density": density,
        "steps": steps,
        "simulated": result.cycles,
        "estimated": estimate,
        "error": 100 * (estimate / result.cycles - 1),
    }


def area_rows() -> list[dict[str, Any]]:
    """The worst relative errors of machines that the model of areas was not fitted to."""
    from sparnn.gen.fit.measure import FAMILIES

    rows = []
    for machine, families in FAMILIES.items():
        for family in families:
            found = errors(family, held_out=True, machine=machine)
            row: dict[str, Any] = {"machine": machine, "family": TARGETS[family].title}
            row["machines"] = len(found["lut"])
            row |= {name: 100 * max(map(abs, values)) for name, values in found.items()}
            rows.append(row)
    return rows


def _table(columns: Sequence[tuple[str, str]], rows: Sequence[Any], note: str) -> dict[str, Any]:
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("amaranth", "pyosys", "verilator")
    )
    return {
        "provenance": {
            "command": "python -m sparnn.gen.bench.estimate --write",
            "date": datetime.date.today().isoformat(),
            "versions": versions,
            "note": note,
        },
        "columns": [{"title": title, "text": text} for title, text in columns],
        "rows": list(rows),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="*", type=int, default=range(len(CASES)))
    parser.add_argument("--write", action="store_true", help="docs/results/estimate.json")
    options = parser.parse_args(arguments)
    rows = []
    for number in options.cases:
        rows.append(cycle_row(number))
        row = rows[-1]
        print(
            f"{number} {row['machine']}, {row['network']}: {row['simulated']} simulated, "
            f"{row['estimated']:.0f} estimated, {row['error']:+.1f} %",
            flush=True,
        )
    areas = area_rows()
    for row in areas:
        print(row)
    if options.write:
        cycles = _table(
            [
                ("machine", "{machine}"),
                ("network", "{network}"),
                ("inputs", "{inputs}"),
                ("weights not zero", "{density:.0%}"),
                ("steps", "{steps}"),
                ("simulated cycles", "{simulated:,}"),
                ("estimated", "{estimated:,.0f}"),
                ("error", "{error:+.1f} %"),
            ],
            rows,
            "seeded networks, each estimated from three sequences and simulated with a fourth",
        )
        area = _table(
            [
                ("machine", "{machine}"),
                ("family", "{family}"),
                ("held out", "{machines}"),
                ("LUT", "{lut:.1f} %"),
                ("FF", "{ff:.1f} %"),
                ("multipliers", "{dsp:.1f} %"),
                ("block RAM", "{bram:.1f} %"),
                ("logic cells", "{cells:.1f} %"),
            ],
            areas,
            "the largest error of the machines that the model was not fitted to",
        )
        text = json.dumps({"tables": {"cycles": cycles, "areas": area}}, indent=1)
        RESULTS.write_text(text + "\n", encoding="utf-8")
        write_pages(Path())


if __name__ == "__main__":
    main()
