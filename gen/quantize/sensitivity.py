"""How much of the outputs' noise comes from each tensor: each is quantized alone."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from sparnn.gen.network.model import FloatNetwork
from sparnn.gen.network.run import FloatTrace, run_network
from sparnn.sim.aliases import FloatArray

from .features import Fitted
from .formats import quantized_values, sqnr_db
from .weight_rows import quantize_rows

__all__ = ["Sensitive", "sensitivity"]


@dataclass(frozen=True)
class Sensitive:
    """One tensor.

    Members
    -------
    layer, tensor: where: ``x``, ``weights`` or ``h``.
    bits: its width.
    sqnr_db: of the network's outputs on the sample inputs where it alone is quantized; infinite
        where they stay the same.
    """

    layer: str
    tensor: str
    bits: int
    sqnr_db: float

    def line(self) -> str:
        """For people."""
        return f"{self.layer}: {self.tensor} at {self.bits} bits alone gives {self.sqnr_db:.1f} dB"

    def as_dict(self) -> dict[str, Any]:
        """For JSON, which has no infinity."""
        return asdict(self) | {"sqnr_db": self.sqnr_db if np.isfinite(self.sqnr_db) else None}


def sensitivity(fitted: Fitted) -> list[Sensitive]:
    """Every tensor whose width is chosen, the one that costs most first.

    The rest of the network stays in real numbers; states and pre-activations, which have 16 bits
    anyway, are not among them.
    """
    network, integers = fitted.network, fitted.quantized.network
    samples = fitted.compared()

    def outputs(
        network: FloatNetwork,
        round_x: Callable[[FloatArray], FloatArray] | None = None,
        round_h: dict[int, Callable[[FloatArray], FloatArray]] | None = None,
    ) -> FloatArray:
        found = []
        for one in samples:
            x = one.x if round_x is None else round_x(one.x)
            initial = {key: values[np.newaxis] for key, values in one.initial.items()}
            traces: list[FloatTrace] = run_network(network, x[np.newaxis], initial, round_h=round_h)
            found.append(traces[-1].sequence[0])
        return np.concatenate(found)

    exact = outputs(network)

    def rounding(f: int, bits: int) -> Callable[[FloatArray], FloatArray]:
        return lambda values: quantized_values(values, f, bits)

    first, bits = integers.layers[0], integers.activation_bits
    db = sqnr_db(exact, outputs(network, rounding(first.f_x, bits)))
    found = [Sensitive(first.name, "x", bits, db)]
    for index, (layer, whole) in enumerate(zip(network.layers, integers.layers, strict=True)):
        split = whole.factors_x is not None
        width = integers.weight_bits
        w_h = layer.w_h
        changed = replace(
            layer,
            w_x=quantize_rows(layer.w_x, width, split=split).values,
            w_h=None if w_h is None else quantize_rows(w_h, width, split=split).values,
        )
        layers = (*network.layers[:index], changed, *network.layers[index + 1 :])
        db = sqnr_db(exact, outputs(replace(network, layers=layers)))
        found.append(Sensitive(whole.name, "weights", width, db))
        if layer.join != "reset":
            rounded = {index: rounding(whole.f_out, whole.out_bits)}
            db = sqnr_db(exact, outputs(network, round_h=rounded))
            found.append(Sensitive(whole.name, "h", whole.out_bits, db))
    return sorted(found, key=lambda one: one.sqnr_db)
