"""A PyTorch module as an ONNX file, by PyTorch's own exporter."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sparnn.sim.network.arrays import read_npz

from .errors import SparnnError

__all__ = ["export_module"]

_OPSET = 17


def export_module(module: Any, samples: Path, file: Path) -> None:
    """Export a `torch.nn.Module` in evaluation mode, with open sizes of batch and time. Its output
    is ``y``; of several, in their order, they are ``y0``, ``y1`` and so on.

    Parameters
    ----------
    samples: an npz file; its arrays are the module's arguments in their order, and their names
        those of the inputs. The first two axes of each stay open.

    Raises
    ------
    SparnnError: PyTorch is missing, the object is no module, or the export fails.
    """
    try:
        import torch
    except ImportError:
        raise SparnnError(
            "compiling a module needs PyTorch: pip install 'sparnn[train]', or give an ONNX file"
        ) from None
    if not isinstance(module, torch.nn.Module):
        raise SparnnError(
            f"a model of the type {type(module).__name__} cannot be compiled: give the path of an "
            "ONNX file, an onnx.ModelProto, or a torch.nn.Module"
        )
    from .torch_modules import exportable

    arrays = read_npz(samples)
    arguments = tuple(torch.from_numpy(array) for array in arrays.values())
    was_training = module.training
    module.eval()
    whole = exportable(module)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of the exporter, about its own future
            torch.onnx.export(
                whole,
                arguments,
                str(file),
                input_names=list(arrays),
                output_names=_names(whole(*arguments), arrays),
                dynamic_axes={
                    name: {axis: f"{name}_{axis}" for axis in range(min(2, array.ndim))}
                    for name, array in arrays.items()
                },
                opset_version=_OPSET,
                dynamo=False,
            )
    except SparnnError:
        raise
    except Exception as error:  # whatever the exporter or the module raises
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise SparnnError(f"PyTorch cannot export the module ({lines[0]})") from error
    finally:
        module.train(was_training)


def _names(outputs: Any, taken: Mapping[str, Any]) -> list[str]:
    """Names of the tensors that a module gives, which are none of its inputs'."""
    count = len(_flat(outputs))
    names = ["y"] if count == 1 else [f"y{number}" for number in range(count)]
    return [f"{name}_out" if name in taken else name for name in names]


def _flat(outputs: Any) -> list[Any]:
    if isinstance(outputs, Mapping):
        outputs = list(outputs.values())
    if isinstance(outputs, tuple | list):
        return [one for output in outputs for one in _flat(output)]
    return [outputs]
