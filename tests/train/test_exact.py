"""The torch forward pass equals the golden model, bit for bit. Needs sparnn[train]."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'sparnn[train]'")

from sparnn.gen.bench.random_networks import (
    random_held,
    random_initial,
    random_network,
    random_thresholds,
    random_x,
)
from sparnn.sim.golden.layers import run_network
from sparnn.sim.network.network import IntegerNetwork
from sparnn.train.chain import run_integers


def drawn(seed: int) -> tuple[np.random.Generator, IntegerNetwork]:
    """A network of any kind, with all options, at widths that reach the ends of the ranges."""
    rng = np.random.default_rng(seed)
    # What both machines together can be; no one of them has it all.
    options = (
        *("reset_first", "hard_sigmoid", "split_scales"),
        *("cell_functions", "gate_functions", "clip", "peepholes"),
    )
    config: Any = SimpleNamespace(
        **dict.fromkeys(options, 1),
        weight_bits=int(rng.choice([4, 8, 16])),
        activation_bits=int(rng.choice([8, 12, 15, 16])),
    )
    return rng, random_network(rng, config, largest=12)


def tensors(layer: Any) -> dict[str, Any]:
    """What the real weights would be is of no matter to the integers, but for peepholes."""
    found = {"w_x": layer.w_x, "b_x": layer.bias_x, "w_h": layer.w_h, "b_h": layer.bias_h}
    found["w_c"] = layer.w_c
    return {k: torch.from_numpy(v.astype("float64")) for k, v in found.items() if v is not None}


@pytest.mark.parametrize("seed", range(40))
def test_random_networks(seed: int) -> None:
    rng, network = drawn(seed)
    deltas = seed % 3 == 0 and network.activation_bits < 16
    if deltas:
        network = random_thresholds(rng, network)
    steps = int(rng.integers(1, 9))
    inputs = [random_held(rng, random_x(rng, network, steps)) for _ in range(2)]
    initial = [random_initial(rng, network) for _ in range(2)]
    keys = initial[0].keys() & initial[1].keys()
    initial = [{key: one[key] for key in keys} for one in initial]
    run = run_integers(
        network,
        [tensors(layer) for layer in network.layers],
        torch.from_numpy(np.stack(inputs).astype("float64")),
        {
            key: torch.from_numpy(np.stack([i[key] for i in initial]).astype("float64"))
            for key in keys
        },
    )
    for place, (x, states) in enumerate(zip(inputs, initial, strict=True)):
        trace = run_network(network, x, states)
        for index, layer in enumerate(network.layers):
            for what in ("sequence", "step", "last", "state_c"):
                if layer.kind == "gru_gates" or (
                    what == "state_c" and trace.layers[index].state is None
                ):
                    continue
                ours = run.output(index, what)[place].numpy()
                np.testing.assert_array_equal(ours, trace.output(index, what), f"{layer} {what}")
