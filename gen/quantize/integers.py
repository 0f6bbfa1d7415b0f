"""One layer's integers in given formats: weights, multipliers, biases (docs/numerics.md)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparnn.gen.errors import SparnnError
from sparnn.gen.network.model import FloatLayer
from sparnn.gen.network.run import machine_biases
from sparnn.sim.aliases import FloatArray
from sparnn.sim.network.network import NO_CLIP, Int32Array, IntegerLayer

from .formats import quantized_values
from .weight_rows import quantize_rows

__all__ = ["Formats", "integer_layer", "requantizer"]

MAX_SHIFT = 47
MAX_MULT = 32767


@dataclass(frozen=True)
class Formats:
    """Places behind the point of a layer's input, pre-activations, state and output; and the width
    of the output."""

    x: int
    pre: int
    state: int
    out: int
    out_bits: int


def requantizer(ratio: FloatArray, where: str) -> tuple[Int32Array, Int32Array]:
    """``mult`` 0 … 32767 and ``shift`` 0 … 47 with ``mult · 2^-shift ≈ ratio``.

    ``mult`` is within 16384 … 32767 unless the ratio is 0 or so small that the shift is at its end.

    Raises
    ------
    SparnnError : a ratio of more than 32767.
    """
    if (ratio > MAX_MULT).any():
        raise SparnnError(
            f"{where}: the weights have to be scaled by {float(ratio.max()):g}, but the limit is "
            f"{MAX_MULT}; scale the model's input or this layer's weights down"
        )
    safe = np.where(ratio > 0, ratio, 1.0)
    shift = np.clip(15 - np.frexp(safe)[1], 0, MAX_SHIFT)
    mult = np.rint(np.ldexp(safe, shift))
    carry = (mult > MAX_MULT) & (shift > 0)
    shift = np.where(carry, shift - 1, shift)
    mult = np.minimum(np.rint(np.ldexp(safe, shift)), MAX_MULT)
    zero = (ratio == 0) | (mult == 0)
    return (
        np.where(zero, 0, mult).astype(np.int32),
        np.where(zero, 0, shift).astype(np.int32),
    )


def integer_layer(
    layer: FloatLayer, formats: Formats, weight_bits: int, sum_shift: int, split: bool
) -> IntegerLayer:
    """A layer's integers in given formats.

    Parameters
    ----------
    sum_shift : of a layer that is added to the one before it. split : see
        :func:`~sparnn.gen.quantize.weight_rows.quantize_rows`.

    Raises
    ------
    SparnnError : values that these formats do not hold.
    """
    where = f"layer {layer.name!r}"
    bias_x, bias_h = machine_biases(layer)
    rows_x = quantize_rows(layer.w_x, weight_bits, split=split)
    mult_x, shift_x = requantizer(
        np.ldexp(rows_x.scale, formats.pre - formats.x), f"{where}, input half"
    )
    hidden: dict[str, Any] = dict.fromkeys(("w_h", "mult_h", "shift_h", "bias_h"))
    if layer.w_h is not None:
        rows_h = quantize_rows(layer.w_h, weight_bits, split=split)
        ratio = np.ldexp(rows_h.scale, formats.pre - formats.out)
        mult_h, shift_h = requantizer(ratio, f"{where}, hidden half")
        bias = _bias(bias_h, formats.pre, where)
        hidden = {
            "w_h": rows_h.integers,
            "factors_h": rows_h.factors,
            "mult_h": mult_h,
            "shift_h": shift_h,
            "bias_h": bias,
        }
    return IntegerLayer(
        name=layer.name,
        kind=layer.kind,
        activation=layer.activation,
        w_x=rows_x.integers,
        factors_x=rows_x.factors,
        mult_x=mult_x,
        shift_x=shift_x,
        bias_x=_bias(bias_x, formats.pre, where),
        f_x=formats.x,
        f_pre=formats.pre,
        f_state=formats.state,
        f_out=formats.out,
        out_bits=formats.out_bits,
        last_only=layer.last_only,
        last_step=layer.last_step,
        reverse=layer.reverse,
        join=layer.join,
        sum_shift=sum_shift,
        initial_h=_state(layer.initial_h, formats.out, formats.out_bits),
        initial_c=_state(layer.initial_c, formats.state, 16),
        gate=layer.gate,
        candidate=layer.candidate,
        cell=layer.cell,
        clip=NO_CLIP if layer.clip is None else _clip(layer.clip),
        **_peepholes(layer, formats),
        **hidden,
    )


def _peepholes(layer: FloatLayer, formats: Formats) -> dict[str, Any]:
    """16-bit weights of the state, in the finest common scale that a shift of 0 … 31 can undo."""
    if layer.w_c is None:
        return {}
    ratio = np.ldexp(layer.w_c, formats.pre - formats.state)
    largest = float(np.abs(ratio).max())
    if largest > MAX_MULT:
        raise SparnnError(
            f"layer {layer.name!r}: the peepholes have to be scaled by {largest:g}, but the limit "
            f"is {MAX_MULT}; scale the layer's peepholes down"
        )
    shift = int(np.clip(np.floor(np.log2(MAX_MULT / max(largest, 2.0**-32))), 0, 31))
    return {"w_c": np.rint(np.ldexp(ratio, shift)).astype(np.int32), "cell_shift": shift}


def _clip(clip: float) -> int:
    """In 2^-11, at least one step."""
    return int(np.clip(np.rint(np.ldexp(clip, 11)), 1, NO_CLIP))


def _bias(bias: FloatArray, f_pre: int, where: str) -> Int32Array:
    integers = np.rint(np.ldexp(bias, f_pre))
    if np.abs(integers).max() > 32767:
        raise SparnnError(
            f"{where}: a bias of {float(np.abs(bias).max()):g} does not fit 16 bits in format "
            f"{f_pre}; the limit is 32767, so scale the layer down"
        )
    return integers.astype(np.int32)


def _state(values: FloatArray | None, f: int, bits: int) -> Int32Array | None:
    if values is None:
        return None
    return np.rint(np.ldexp(quantized_values(values, f, bits), f)).astype(np.int32)
