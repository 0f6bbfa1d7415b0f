"""Cycles of the work that peers publish: `python -m sparnn.gen.bench.peers`.

elasticai.creator: one step of an LSTM of 20 units and a linear layer of one output, 8 bits.
EdgeDRNN: one step of a GRU of 2 x 768 units with 40 inputs, dense, 8 bits. Weights are random and
nowhere zero; the hardware's results are compared with the golden model. Memories are as large as
the network needs.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from sparnn.gen.fit.fit import smallest_machine
from sparnn.gen.machines.sparse.place import place
from sparnn.gen.machines.verilog import kept_verilog
from sparnn.gen.targets import TARGETS
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.golden.layers import run_network
from sparnn.sim.host.packets import constant_states
from sparnn.sim.network.network import GATES, IntegerLayer, IntegerNetwork
from sparnn.sim.session.compare import mismatches
from sparnn.sim.verilator.hardware import run_sequences

__all__ = ["dense_layer", "main", "step_cycles"]

SEED = 0


def dense_layer(
    rng: np.random.Generator, kind: str, inputs: int, units: int, *, final: bool = False
) -> IntegerLayer:
    """A layer without any zero weight, with typical formats."""
    gates, hidden = GATES[kind], kind != "linear"

    def weights(columns: int) -> np.ndarray:
        drawn = rng.integers(1, 128, (gates, units, columns))
        return drawn * rng.choice([-1, 1], drawn.shape)

    rows = (gates, units)
    fields: dict[str, Any] = {
        "name": f"{kind}{units}",
        "kind": kind,
        "activation": "" if hidden else "identity",
        "w_x": weights(inputs),
        "w_h": weights(units) if hidden else None,
        "f_x": 7,
        "f_pre": 10,
        "f_state": 12 if hidden else 0,
        "f_out": 10 if final else 7,
        "out_bits": 16 if final else 8,
    }
    for half in "xh":
        given = half == "x" or hidden
        fields[f"mult_{half}"] = np.full(rows, 20000) if given else None
        fields[f"shift_{half}"] = np.full(rows, 22) if given else None
        fields[f"bias_{half}"] = np.full(rows, 77) if given else None
    return IntegerLayer(**fields)


def step_cycles(network: IntegerNetwork, lanes: int) -> tuple[SparseConfig, int, float]:
    """The machine, cycles of a run of one step, and cycles of each further step.

    Raises
    ------
    RuntimeError: the hardware is not bit exact.
    """
    rng = np.random.default_rng(SEED)
    config = smallest_machine(network, lanes, TARGETS["ecp5"], 8)
    last = len(network.layers) - 1
    compiled = place(network, config, [{"layer": last, "what": "sequence"}])
    states = constant_states(network)
    short, long = 1, 3
    cycles = {}
    with tempfile.TemporaryDirectory(prefix="sparnn-peers-") as name:
        folder = Path(name)
        (folder / "sparnn.v").write_text(kept_verilog(config))
        compiled.image.astype("<u4").tofile(folder / "image.bin")
        inputs = [
            rng.choice([-1, 1], (steps, network.layers[0].inputs))
            * rng.integers(1, 128, (steps, network.layers[0].inputs))
            for steps in (short, long)
        ]
        results, _ = run_sequences(folder, compiled.program, [(x, states) for x in inputs])
        traces = [run_network(network, x, states) for x in inputs]
        count, first = mismatches(compiled.program, results, traces)
        if count:
            raise RuntimeError(f"{count} values differ: {first}")
        for steps, result in zip((short, long), results, strict=True):
            cycles[steps] = int(result.cycles)
    return config, cycles[short], (cycles[long] - cycles[short]) / (long - short)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--peers", nargs="+", choices=("elasticai", "edgedrnn"), default=["elasticai", "edgedrnn"]
    )
    parser.add_argument("--inputs", type=int, default=1, help="Of the LSTM.")
    options = parser.parse_args(arguments)
    print(f"seed {SEED}")
    print(
        "| work | lanes | MACs | cycles of one step alone | of each further step | MAC slots used |"
    )
    print("|---|---|---|---|---|---|")
    for peer in options.peers:
        rng = np.random.default_rng(SEED)
        if peer == "elasticai":
            layers = (
                dense_layer(rng, "lstm", options.inputs, 20),
                dense_layer(rng, "linear", 20, 1, final=True),
            )
            counts: tuple[int, ...] = (1, 2, 4, 8)
        else:
            layers = (dense_layer(rng, "gru", 40, 768), dense_layer(rng, "gru", 768, 768))
            counts = (8, 16)
        network = IntegerNetwork(layers, 8, 8)
        macs = sum(w.size for one in layers for w in (one.w_x, one.w_h) if w is not None)
        for lanes in counts:
            _, one, more = step_cycles(network, lanes)
            print(
                f"| {peer} | {lanes} | {macs} | {one} | {more:.0f} | {macs / lanes / more:.1%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
