"""Whether a model that was changed gives what the original gives."""

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["near"]

#: Relative to the largest output, how far the two may be apart.
_NEAR = 1e-4


def near(wanted: npt.NDArray[Any], found: npt.NDArray[Any]) -> bool:
    """Whether two outputs are the same but for rounding; what is not finite has to be the same."""
    largest = np.abs(wanted[np.isfinite(wanted)]).max(initial=0)
    return wanted.shape == found.shape and np.allclose(
        found, wanted, rtol=0, atol=_NEAR * largest, equal_nan=True
    )
