"""A small network on a small machine, for benches in cocotb."""

import json
from pathlib import Path

import numpy as np

from sparnn.gen.machines.backend import backend
from sparnn.gen.machines.verilog import kept_verilog
from sparnn.hdl.machine import MachineConfig
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.network.network import IntegerLayer, IntegerNetwork

__all__ = ["CONFIG", "small_network", "write_bench"]

CONFIG = SparseConfig(
    lanes=4,
    post_units=2,
    max_v=2,
    chunk=8,
    sub_chunk=4,
    columns=16,
    mask_depth=256,
    weight_depth=256,
    rows=32,
    parameter_depth=64,
    state_depth=8,
    store_depth=64,
    program_depth=2,
)


def layer(kind, inputs, units, **changes):
    rng = np.random.default_rng(units)
    gates, hidden = (4, True) if kind == "lstm" else (1, False)
    fields = {
        "name": kind,
        "kind": kind,
        "activation": "" if kind == "lstm" else "identity",
        "w_x": rng.integers(-127, 128, (gates, units, inputs)),
        "w_h": rng.integers(-127, 128, (gates, units, units)) if hidden else None,
        "f_x": 7,
        "f_pre": 11,
        "f_state": 12 if hidden else 0,
        "f_out": 7,
        "out_bits": 8,
    }
    for half in "xh":
        given = hidden or half == "x"
        rows = (gates, units)
        fields[f"mult_{half}"] = rng.integers(16384, 32768, rows) if given else None
        fields[f"shift_{half}"] = np.full(rows, 17) if given else None
        fields[f"bias_{half}"] = rng.integers(-999, 999, rows) if given else None
    return IntegerLayer(**(fields | changes))


def small_network():
    """An LSTM of 5 units and a head of 2 outputs: one word of two elements."""
    head = layer("linear", 5, 2, f_out=11, out_bits=16)
    return IntegerNetwork((layer("lstm", 3, 5), head), 8, 8)


def write_bench(folder: Path, config: MachineConfig = CONFIG) -> None:
    """Write what benches read, and the machine's Verilog."""
    integers = small_network()
    outputs = [{"layer": 0, "what": "state_c"}, {"layer": 1, "what": "sequence"}]
    placed = backend(config).place(integers, config, outputs)
    (folder / "sparnn.v").write_text(kept_verilog(config))
    (folder / "program.json").write_text(json.dumps(placed.program.to_dict()))
    placed.image.astype("<u4").tofile(folder / "image.bin")
    if config.stream_bits:
        placed.external.astype("<u4").tofile(folder / "weights.bin")
    integers.save(folder / "network.npz")
