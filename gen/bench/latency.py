"""Latencies beside published ones: `python -m sparnn.gen.bench.latency` writes docs/results, with
``--simulate 16384`` after it has simulated one shape of each set on a machine of that size.

Batch 1, the dense machines by their exact cycle model, at the clocks of the papers whose sizes they
are (SHARP: 500 MHz, BrainWave: 250 MHz); no clock of these sizes is ours. Published are BrainWave's
and GPUs' latencies of DeepBench's shapes, and Vollo's of its five networks (a closed product,
documents of version 25.1.2), whose figures include PCIe.
"""

import argparse
import datetime
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sparnn.gen.machines.dense.presets import SHARP_SIZES, dense_preset
from sparnn.gen.machines.dense.tiles import Exploration
from sparnn.hdl.dense.config import DenseConfig
from sparnn.sim.cycles.dense import TileLayer, network_cycles
from sparnn.sim.network.network import GATES, IntegerNetwork

from .networks import shape_plan
from .reload import reload_points
from .sharp import dense_network, machine_of

__all__ = ["DEEPBENCH", "VOLLO", "deepbench_rows", "main", "simulated_rows", "vollo_rows"]

RESULTS = Path("docs/results/latency.json")

SHARP_MHZ, BRAINWAVE_MHZ = 500, 250

#: Cell, units (and inputs), steps: milliseconds of BrainWave (96,000 MACs, 250 MHz) and, with cuDNN
#: 6 and the recurrent half alone, of Titan Xp, Titan X (Pascal) and GTX 1080 Ti.
DEEPBENCH: dict[tuple[str, int, int], tuple[float, float, float, float]] = {
    ("lstm", 256, 150): (0.425, 1.994, 2.340, 1.597),
    ("lstm", 512, 25): (0.077, 1.258, 0.513, 0.890),
    ("lstm", 1024, 25): (0.074, 1.872, 1.942, 1.889),
    ("lstm", 1536, 50): (0.145, 6.198, 6.814, 6.853),
    ("lstm", 2048, 25): (0.074, 5.272, 5.888, 5.778),
    ("gru", 512, 1): (0.013, 0.053, 0.045, 0.110),
    ("gru", 1024, 1500): (3.792, 59.26, 65.76, 64.30),
    ("gru", 1536, 375): (0.951, 31.73, 35.76, 34.56),
    ("gru", 2048, 375): (0.954, 51.59, 58.09, 57.17),
    ("gru", 2816, 750): (1.987, 177.79, 213.8, 211.2),
}

#: Layers and units of an LSTM, with as many inputs, in front of a linear layer of 32: microseconds
#: of one step on AMD V80 and Agilex IA-840F; None where it does not fit.
VOLLO: dict[tuple[int, int], tuple[float, float | None]] = {
    (2, 128): (2.8, 1.9),
    (3, 256): (3.3, 3.0),
    (3, 480): (4.3, 4.2),
    (6, 320): (4.5, 4.3),
    (3, 960): (8.5, None),
}
_VOLLO_OUTPUTS = 32
_COMMAND = "python -m sparnn.gen.bench.latency"


def _cycles(config: DenseConfig, layers: Sequence[tuple[str, int, int]], steps: int) -> int:
    """Cycles of a chain of layers: kind, inputs, units."""
    found = []
    for kind, inputs, units in layers:
        wide = kind == "linear"  # the outputs, 16 bits
        plan = shape_plan(
            config, inputs, units, min(steps, 50), kind, "unfolded", None, False, wide
        )
        found.append(TileLayer(plan, inputs, units, steps, kind, wide))
    return network_cycles(config, found)


def deepbench_rows() -> list[dict[str, Any]]:
    """DeepBench's shapes on machines of 16K, 64K and 96K MAC units."""
    rows = []
    for (kind, units, steps), published in DEEPBENCH.items():
        row: dict[str, Any] = {"shape": f"{kind.upper()} {units}, {steps}"}
        for name, preset, mhz in (
            ("small", "sharp16k", SHARP_MHZ),
            ("sharp", "sharp64k", SHARP_MHZ),
            ("brainwave", "bw96k", BRAINWAVE_MHZ),
        ):
            config = dense_preset(preset)
            row[f"{name}_cycles"] = cycles = _cycles(config, [(kind, units, units)], steps)
            row[f"{name}_ms"] = cycles / mhz / 1000
            useful = 2 * GATES[kind] * units * units * steps
            row[f"{name}_use"] = 100 * useful / (config.mac_units * cycles)
        names = ("published_ms", "titan_xp_ms", "titan_x_ms", "gtx_1080_ti_ms")
        rows.append(row | dict(zip(names, published, strict=True)))
    return rows


def vollo_rows() -> list[dict[str, Any]]:
    """Vollo's networks, one step, on all of SHARP's sizes."""
    rows = []
    for (layers, units), (v80, agilex) in VOLLO.items():
        chain = [("lstm", units, units)] * layers + [("linear", units, _VOLLO_OUTPUTS)]
        row: dict[str, Any] = {
            "shape": f"{layers} x {units}",
            "macs": 8 * units * units * layers + units * _VOLLO_OUTPUTS,
            "v80_us": v80,
            "agilex_us": "does not fit" if agilex is None else f"{agilex:.1f}",
        }
        for macs, preset in SHARP_SIZES.items():
            row[f"cycles_{macs}"] = cycles = _cycles(dense_preset(preset), chain, 1)
            row[f"us_{macs}"] = cycles / SHARP_MHZ
        rows.append(row)
    return rows


def simulated_rows(macs: int, seed: int = 0) -> list[dict[str, Any]]:
    """One of DeepBench's shapes and one of Vollo's networks, one step of each, on the RTL of a
    machine; both in one simulation."""
    rng = np.random.default_rng(seed)
    (layers, units), _ = next(iter(VOLLO.items()))
    chain = [dense_network(rng, "lstm", units) for _ in range(layers)]
    chain.append(dense_network(rng, "linear", _VOLLO_OUTPUTS, inputs=units))
    cells = tuple(replace(one.layers[0], name=f"layer{k}") for k, one in enumerate(chain))
    networks = {
        f"Vollo's {layers} x {units}": IntegerNetwork(cells, 8, 8),
        "DeepBench's GRU 512": dense_network(rng, "gru", 512),
    }
    config = machine_of(macs)
    shapes = [(one.kind, one.inputs, one.units) for one in cells], [("gru", 512, 512)]
    alike = Exploration(steps=1)  # as of the tables
    points = reload_points(config, networks, steps=1, seed=seed, exploration=alike)
    return [
        {
            "machine": f"{macs // 1024}K",
            "network": point["network"],
            "cycles": point["cycles"],
            "model": _cycles(config, shape, 1),
            "exact": "yes" if point["bit_exact"] else "NO",
        }
        for point, shape in zip(points, shapes, strict=True)
    ]


def _tables(sizes_simulated: Sequence[int]) -> dict[str, Any]:
    provenance = {
        "command": _COMMAND,
        "date": datetime.date.today().isoformat(),
        "note": "cycle model",
    }
    sizes = [
        {"title": f"{macs // 1024}K MACs, µs", "text": f"{{us_{macs}:.2f}}"} for macs in SHARP_SIZES
    ]
    return {
        "deepbench": {
            "provenance": provenance,
            "columns": [
                {"title": "shape, steps", "text": "{shape}"},
                {"title": "16K MACs at 500 MHz, ms", "text": "{small_ms:.4f} ({small_use:.0f} %)"},
                {"title": "64K MACs at 500 MHz, ms", "text": "{sharp_ms:.4f} ({sharp_use:.0f} %)"},
                {
                    "title": "96K MACs at 250 MHz, ms",
                    "text": "{brainwave_ms:.4f} ({brainwave_use:.0f} %)",
                },
                {"title": "BrainWave, published", "text": "{published_ms:.3f}"},
                {"title": "Titan Xp", "text": "{titan_xp_ms:.3f}"},
                {"title": "Titan X Pascal", "text": "{titan_x_ms:.3f}"},
                {"title": "1080 Ti", "text": "{gtx_1080_ti_ms:.3f}"},
            ],
            "rows": deepbench_rows(),
        },
        "vollo": {
            "provenance": provenance,
            "columns": [
                {"title": "layers x units", "text": "{shape}"},
                {"title": "MACs", "text": "{macs:,}"},
                *sizes,
                {"title": "Vollo, V80, published", "text": "{v80_us:.1f}"},
                {"title": "Vollo, Agilex IA-840F", "text": "{agilex_us}"},
            ],
            "rows": vollo_rows(),
        },
        "simulated": {
            "provenance": provenance
            | {
                "command": " ".join([_COMMAND, "--simulate", *map(str, sizes_simulated)]),
                "note": "one step; seed 0",
            },
            "columns": [
                {"title": "MAC units", "text": "{machine}"},
                {"title": "network, one step", "text": "{network}"},
                {"title": "cycles, simulated", "text": "{cycles:,}"},
                {"title": "cycles, model", "text": "{model:,}"},
                {"title": "bit exact", "text": "{exact}"},
            ],
            "rows": [row for macs in sizes_simulated for row in simulated_rows(macs)],
        },
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Write both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--simulate", nargs="+", type=int, metavar="MACS", help="on the RTL too")
    options = parser.parse_args(arguments)
    tables = _tables(options.simulate or ())
    if not options.simulate:  # what was simulated stays
        old = json.loads(options.json.read_text(encoding="utf-8"))["tables"]
        tables |= {"simulated": old["simulated"]}
    text = json.dumps({"tables": tables}, indent=1, ensure_ascii=False)
    options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
