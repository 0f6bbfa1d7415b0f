"""Types of arrays and of JSON that many files name."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["AnyFloatArray", "FloatArray", "IntArray", "Io", "Words"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
AnyFloatArray = npt.NDArray[np.floating[Any]]
#: What goes over the host's link.
Words = npt.NDArray[np.uint32]
#: The member `io` of a manifest: inputs and outputs of the model.
Io = Mapping[str, Any]
