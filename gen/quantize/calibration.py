"""How the format of an activation is chosen from its values on sample inputs."""

from dataclasses import dataclass

import numpy as np

from sparnn.gen.errors import SparnnError

from .calibrate import TensorRange
from .formats import candidate_formats

__all__ = ["LEAST_SQUARES", "Calibration", "parse_calibration"]

#: Percentage of the values that ``percentile`` holds where it is given without one.
_PERCENT = 99.99


@dataclass(frozen=True)
class Calibration:
    """One way.

    Members
    -------
    name: ``mse``: the format with the least squared error at the layer's output. ``max``: the
        finest one in which no value saturates. ``percentile``: the finest one in which so many
        percent of the values do not saturate.
    """

    name: str
    percent: float = 100.0

    def formats(self, tensor: TensorRange, bits: int) -> list[int]:
        """The formats of which the one with the least error is taken, coarse ones first."""
        formats = candidate_formats(tensor.max_abs, bits)
        if self.name == "mse":
            return formats
        if self.name == "percentile":
            values = np.abs(tensor.sample[np.nonzero(tensor.sample)])
            if len(values):
                formats = candidate_formats(float(np.percentile(values, self.percent)), bits)
        return formats[:1]

    def __str__(self) -> str:
        return f"percentile:{self.percent:g}" if self.name == "percentile" else self.name


LEAST_SQUARES = Calibration("mse")


def parse_calibration(text: str | None) -> Calibration:
    """What ``--calibration`` says; None is ``mse``.

    Raises
    ------
    SparnnError: it is none of the three.
    """
    if text is None:
        return LEAST_SQUARES
    name, colon, share = text.partition(":")
    if name in ("mse", "max") and not colon:
        return Calibration(name)
    try:
        percent = float(share) if colon else _PERCENT
    except ValueError:
        percent = float("nan")
    if name != "percentile" or not 50 <= percent <= 100:
        raise SparnnError(
            f"--calibration {text}: use mse, max, percentile, or percentile:P with P from 50 to 100"
        )
    return Calibration(name, percent)
