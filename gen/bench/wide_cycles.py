"""Networks on wide lanes, on the RTL: part ``cycles`` of :mod:`~sparnn.gen.bench.wide`."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from sparnn.gen.compile import compile_model
from sparnn.gen.machines.presets import structure
from sparnn.gen.machines.sparse.place import place
from sparnn.gen.network.model import GATES, FloatLayer, FloatNetwork
from sparnn.gen.quantize.activity import measure_activity
from sparnn.gen.quantize.calibrate import calibrate
from sparnn.gen.quantize.quantize import quantize as quantize_network
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.golden.layers import run_network
from sparnn.sim.network.arrays import Sequence, quantize
from sparnn.sim.runner import simulate
from sparnn.sim.verilator.hardware import load_program

from .masr import every_output, run_layer

__all__ = ["example_row", "gru_row"]

#: Network -> model, calibration and inputs below examples/.
_EXAMPLES = {
    "digits LSTM": ("digits/lstm.onnx", "digits/calibrate.npz", "digits/calibrate.npz"),
    "silero LSTM": ("silero/lstm.onnx", "silero/calibrate.npz", "silero/input.npz"),
}
#: EdgeDRNN's network: layers, units, inputs; and steps that are run.
_LAYERS, _UNITS, _INPUTS, _STEPS = 2, 768, 40, 6


def _row(network: str, machine: SparseConfig, **measured: Any) -> dict[str, Any]:
    return {
        "network": network,
        "lanes": machine.lanes,
        "width": machine.width,
        "masks": "yes" if machine.masks else "no",
        "macs": machine.mac_units,
        "post_units": machine.post_units,
    } | measured


def example_row(network: str, given: Mapping[str, int], examples: Path) -> dict[str, Any]:
    """A network of examples/ on the machine that a file of these parameters describes."""
    model, samples, inputs = (examples / name for name in _EXAMPLES[network])
    lines = ['machine = "sparse"', *(f"{name} = {value}" for name, value in given.items())]
    with tempfile.TemporaryDirectory(prefix="sparnn-wide-") as name:
        folder = Path(name)
        (folder / "machine.toml").write_text("\n".join(lines) + "\n")
        compile_model(model, samples, folder / "out", config=str(folder / "machine.toml"))
        machine = cast(SparseConfig, load_program(folder / "out").config)
        report = simulate(folder / "out", inputs)
    return _row(
        network,
        machine,
        bit_exact="yes" if report.bit_exact else "NO",
        cycles_per_step=report.cycles_per_step,
        utilization_percent=100 * report.utilization,
    )


def gru_row(lanes: int, width: int, seed: int = 0) -> dict[str, Any]:
    """EdgeDRNN's GRU with random weights and inputs, without masks."""
    rng = np.random.default_rng(seed)
    layers = []
    for number, inputs in enumerate([_INPUTS] + [_UNITS] * (_LAYERS - 1)):
        gates = len(GATES["gru"])
        w_x, w_h = (
            rng.uniform(-1, 1, (gates, _UNITS, columns)) * columns**-0.5
            for columns in (inputs, _UNITS)
        )
        b_x, b_h = (rng.uniform(-0.5, 0.5, (gates, _UNITS)) for _ in range(2))
        layers.append(FloatLayer(f"gru{number}", "gru", "", w_x, w_h, b_x, b_h))
    io = {
        "inputs": [{"name": "x", "role": "x", "layer": 0, "axes": ["time", "feature"]}],
        "outputs": [
            {"name": "h", "layer": _LAYERS - 1, "what": "last", "axes": ["time", "feature"]}
        ],
    }
    drawn = FloatNetwork(tuple(layers), io)
    sample = Sequence(rng.normal(size=(_STEPS, _INPUTS)), {})
    machine = SparseConfig(
        **structure(lanes, width=width), lanes=lanes, width=width, masks=0, store_depth=2048
    )
    network = quantize_network(
        drawn, calibrate(drawn, [sample]), machine.weight_bits, machine.activation_bits
    ).network
    x, _ = quantize(sample.x, network.layers[0].f_x, machine.activation_bits)
    trace = run_network(network, x)
    activity = measure_activity(network, [sample])
    request = every_output(network)
    placed = place(network, machine, [request], fit=True, steps=len(x), activity=activity)
    run = run_layer(placed, x, trace, activity=activity)
    return _row(
        f"GRU {_LAYERS} x {_UNITS}, {_INPUTS} inputs",
        placed.config,
        bit_exact="yes" if run.bit_exact else "NO",
        cycles_per_step=run.cycles / len(x),
        utilization_percent=100 * trace.useful_macs / (machine.mac_units * run.cycles),
    )
