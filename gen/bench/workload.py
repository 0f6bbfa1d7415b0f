"""MASR's workload: a sparse ReLU RNN layer and the sequence that it runs on (arXiv 1908.08976).

Trained weights and speech are not to be had, so both are drawn from a model of them. Weights come
from a Laplace distribution and keep the largest magnitudes, as magnitude pruning does. Inputs
follow slow, correlated processes behind a ReLU. Every input column and every hidden unit has a
density of its own, beta distributed around the mean that is asked for; each unit's bias is tuned
until it has it. So the columns' densities differ, as in real networks, and the recurrence is real:
the hidden state that the hardware multiplies is the one that it computed. How the model compares
with a trained network stands in docs/results/baselines.md.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparnn.gen.network.model import FloatLayer, FloatNetwork
from sparnn.sim.aliases import FloatArray

__all__ = ["Workload", "masr_workload"]

#: Concentration of the beta distribution of densities: small is uneven.
_CONCENTRATION = 6.0
#: Steps on which biases are tuned, and rounds of it.
_TUNING_STEPS, _TUNING_ROUNDS = 640, 8
#: How much of an input column's process stays from step to step, and how much all columns share.
_MEMORY, _SHARED = 0.8, 0.3


@dataclass(frozen=True, eq=False)
class Workload:
    """A network of one layer, in one direction or two, and its input.

    x: [steps, inputs], not negative. sample: other steps of the same processes, those on which the
    biases were tuned: for calibration.
    """

    network: FloatNetwork
    x: FloatArray
    sample: FloatArray


def masr_workload(
    *,
    hidden: int = 800,
    inputs: int | None = None,
    weight_density: float = 0.33,
    hidden_density: float = 0.2,
    input_density: float = 0.4,
    steps: int = 333,
    seed: int = 0,
    weight_spread: float = 0.0,
    directions: int = 1,
    block: int = 1,
) -> Workload:
    """Draw a layer of ``hidden`` units and a sequence.

    Parameters
    ----------
    inputs: columns of the input; as many as units by default.
    weight_density, hidden_density, input_density: shares that are not zero.
    weight_spread: how uneven rows and columns of the weights are: standard deviation of the
        logarithm of a scale that each row and each column has before pruning. 0: all alike.
    block: rows that are pruned together: in each column so many that follow each other stay or go.
    directions: 2 adds a layer like the first, drawn after it, that goes backwards; the outputs of
        the two are added, as in MASR's network.
    """
    rng = np.random.default_rng(seed)
    inputs = hidden if inputs is None else inputs
    x = _inputs(rng, steps + _TUNING_STEPS, inputs, input_density)
    layers = []
    for number in range(directions):
        w_x = _pruned(rng, (hidden, inputs), weight_density, weight_spread, block)
        w_h = _pruned(rng, (hidden, hidden), weight_density, weight_spread, block)
        # Keep the recurrence lively but stable.
        w_h *= 0.9 / max(float(np.linalg.norm(w_h, 2)), 1e-9)
        w_x *= 1.0 / max(float(np.linalg.norm(w_x, 2)), 1e-9)
        layers.append(
            FloatLayer(
                name="masr" if number == 0 else "masr_reverse",
                kind="rnn",
                activation="relu",
                w_x=w_x[np.newaxis],
                w_h=w_h[np.newaxis],
                b_x=_bias(rng, w_x, w_h, hidden_density, x[steps:])[np.newaxis],
                b_h=np.zeros((1, hidden)),
                reverse=number == 1,
                join="sum" if number == 1 else "",
            )
        )
    io = {
        "inputs": [{"name": "x", "role": "x", "layer": 0, "axes": ["time", "feature"]}],
        "outputs": [
            {
                "name": "h",
                "layer": directions - 1,
                "what": "sequence",
                "axes": ["time", "feature"],
            }
        ],
    }
    return Workload(FloatNetwork(tuple(layers), io), x[:steps], x[steps:])


def _bias(
    rng: np.random.Generator,
    w_x: FloatArray,
    w_h: FloatArray,
    density: float,
    x: FloatArray,
) -> FloatArray:
    """Biases with which each unit's share of non-zeros is the one that is drawn for it."""
    target = _densities(rng, len(w_h), density)
    bias = np.zeros(len(w_h))
    for _ in range(_TUNING_ROUNDS):
        pre = _run(w_x, w_h, bias, x)
        for unit in range(len(w_h)):
            bias[unit] -= np.quantile(pre[:, unit], 1 - target[unit])
    return bias


def _densities(rng: np.random.Generator, count: int, mean: float) -> FloatArray:
    if not 0 < mean < 1:
        return np.full(count, float(mean))
    return rng.beta(_CONCENTRATION * mean, _CONCENTRATION * (1 - mean), count)


def _inputs(rng: np.random.Generator, steps: int, count: int, density: float) -> FloatArray:
    noise = rng.normal(size=(steps, count))
    common = rng.normal(size=(steps, 1))
    process = np.zeros((steps, count))
    state = np.zeros(count)
    for step in range(steps):
        state = _MEMORY * state + (1 - _SHARED) * noise[step] + _SHARED * common[step]
        process[step] = state
    levels = _densities(rng, count, density)
    thresholds = np.array(
        [np.quantile(process[:, k], 1 - levels[k]) for k in range(count)], np.float64
    )
    if density >= 1:
        thresholds = process.min(axis=0) - 1e-3
    return np.maximum(process - thresholds, 0)


def _pruned(
    rng: np.random.Generator, shape: tuple[int, int], density: float, spread: float, block: int
) -> FloatArray:
    weights = rng.laplace(size=shape)
    if spread:  # otherwise what is drawn next must not depend on it
        weights *= np.exp(spread * rng.normal(size=(shape[0], 1)))
        weights *= np.exp(spread * rng.normal(size=(1, shape[1])))
    # Of a block the largest weight that it would lose counts.
    starts = np.arange(0, shape[0], block)
    sizes = np.maximum.reduceat(np.abs(weights), starts, axis=0)
    keep = round(sizes.size * density)
    if keep < sizes.size:
        order = np.argpartition(sizes, sizes.size - keep, axis=None)
        kept = np.ones(sizes.size, np.bool_)
        kept[order[: sizes.size - keep]] = False
        weights *= kept.reshape(sizes.shape).repeat(block, axis=0)[: shape[0]]
    return weights


def _run(
    w_x: FloatArray, w_h: FloatArray, bias: FloatArray, x: FloatArray
) -> npt.NDArray[np.float64]:
    """Pre-activations, [steps, units]."""
    driven = x @ w_x.T
    pre = np.zeros_like(driven)
    h = np.zeros(len(bias))
    for step in range(len(x)):
        pre[step] = driven[step] + w_h @ h + bias
        h = np.maximum(pre[step], 0)
    return pre
