"""Ranges of everything that an integer layer holds, and the checks of them."""

import numpy as np
import numpy.typing as npt

from sparnn.sim.errors import SimulationError

__all__ = ["ARRAYS", "LIMITS", "Int32Array", "check_number", "check_width", "checked_array"]

Int32Array = npt.NDArray[np.int32]

# Inclusive limits of every array and format.
LIMITS = {
    "w_x": (-32767, 32767),
    "w_h": (-32767, 32767),
    "w_c": (-32768, 32767),
    "factors_x": (1, 3),
    "factors_h": (1, 3),
    "threshold": (0, 32767),
    "mult_x": (0, 32767),
    "mult_h": (0, 32767),
    "shift_x": (0, 47),
    "shift_h": (0, 47),
    "bias_x": (-32768, 32767),
    "bias_h": (-32768, 32767),
    "initial_h": (-32768, 32767),
    "initial_c": (-32768, 32767),
    "f_x": (-16, 15),
    "f_pre": (0, 15),
    "f_state": (0, 15),
    "f_out": (-16, 15),
    "out_bits": (8, 16),
    "sum_shift": (0, 1),
    "cell_shift": (0, 31),
    "clip": (1, 32767),
    "delta_x": (0, 16383),
    "delta_h": (0, 16383),
    "weight_bits": (4, 16),
    "activation_bits": (8, 16),
}
ARRAYS = tuple(
    name
    for name in LIMITS
    if name.startswith(("w_", "factors", "threshold", "mult", "shift", "bias", "initial"))
)


def check_number(where: str, name: str, value: object) -> None:
    low, high = LIMITS[name]
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise SimulationError(f"{where}: {name} is {value!r}, it must be an integer {low} … {high}")


def checked_array(where: str, name: str, value: npt.ArrayLike) -> Int32Array:
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise SimulationError(f"{where}: {name} has the type {array.dtype}, it must hold integers")
    low, high = LIMITS[name]
    outside = (array < low) | (array > high)
    if outside.any():
        index = tuple(int(i) for i in np.argwhere(outside)[0])
        raise SimulationError(
            f"{where}: {name}{list(index)} is {array[index]}, it must be {low} … {high}"
        )
    array = array.astype(np.int32)
    array.flags.writeable = False
    return array


def check_width(
    where: str, name: str, array: Int32Array, bits: int, *, symmetric: bool = True
) -> None:
    high = (1 << (bits - 1)) - 1
    low = -high if symmetric else -high - 1
    if array.min() < low or array.max() > high:
        raise SimulationError(
            f"{where}: {name} holds {array.min()} … {array.max()}, {bits} bits hold {low} … {high}"
        )
