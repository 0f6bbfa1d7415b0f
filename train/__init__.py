"""Training for the machine: fake-quantized networks that equal the golden model bit for bit.

- :func:`load` reads an ONNX file as a :class:`Model`, whose parts for the machine are
  :class:`FakeQuantized` modules of PyTorch, and which writes what was trained as an ONNX file;
- :func:`fine_tune` trains one of them further, on the integer grid;
- :class:`GradualPruning` sets weights to zero on the way, in a :class:`Structure`.

docs/training.md tells the story. All else in the package may change from release to release.
"""

try:
    import torch as _torch  # noqa: F401  (asked for here, so that the way out is said once)
except ImportError:
    raise ImportError(
        "sparnn.train needs PyTorch, which is not installed: pip install 'sparnn[train]'"
    ) from None

from .model import Model, load
from .module import FakeQuantized
from .pruning import GradualPruning, Structure
from .tune import Example, batches, fine_tune

__all__ = [
    "Example",
    "FakeQuantized",
    "GradualPruning",
    "Model",
    "Structure",
    "batches",
    "fine_tune",
    "load",
]
