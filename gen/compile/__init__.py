"""`sparnn compile`: from a trained model to an output folder."""

from .compile import compile_model
from .summary import CompiledPart, CompileSummary

__all__ = ["CompileSummary", "CompiledPart", "compile_model"]
