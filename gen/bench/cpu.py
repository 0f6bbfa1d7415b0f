"""`sparnn bench cpu`: the same ONNX files in the engines that people would use instead.

Each engine runs one step in a call and 100 steps in a call, of one sequence, after its outputs were
compared with ONNX Runtime's. What a call takes is the median, and the 99th percentile, of so many
calls in a row; the machine's figures stand beside it, from its estimate at its board's clock.
"""

import importlib.metadata
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from sparnn.gen.errors import SparnnError
from sparnn.gen.estimate.estimate import estimate

from .cpu_torch import torch_runs

__all__ = ["CpuPoint", "measure_cpu"]

STEPS = (1, 100)
_WARM = 20
#: Largest difference of an engine's outputs in real numbers, and in integers, of their scale.
_SAME, _NEAR = 1e-4, 0.25

Feeds = Mapping[str, np.ndarray[Any, Any]]
Run = Callable[[Feeds], Sequence[np.ndarray[Any, Any]]]


@dataclass(frozen=True)
class CpuPoint:
    """One engine on one network.

    Members
    -------
    model: its path, as it was given.
    engine, version, numbers: "onnxruntime", "torch" or "openvino"; float32 or int8.
    steps: in a call. threads: that the engine may use.
    median_us, p99_us: of a call, in microseconds.
    difference: of the outputs from ONNX Runtime's in float32, of their largest.
    ours_us: of a machine of ``mac_units`` on ``board`` for as many steps, estimated.
    """

    model: str
    engine: str
    version: str
    numbers: str
    steps: int
    threads: int
    median_us: float
    p99_us: float
    difference: float
    board: str
    mac_units: int
    ours_us: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def measure_cpu(
    model: Path,
    calibrate: Path,
    *,
    board: str = "ulx3s",
    threads: Sequence[int] = (1, 2),
    calls: int = 1000,
) -> list[CpuPoint]:
    """All engines that are installed, on one model.

    Raises
    ------
    SparnnError: an engine gives other outputs, or the model does not fit the board.
    """
    chosen = estimate(model, calibrate=calibrate, board=board).boards[board][0]
    if not chosen:
        raise SparnnError(f"{model.name} does not fit {board}: name another board")
    ours = min(chosen, key=lambda one: one.step)
    mhz = ours.boards[0].board.machine_mhz
    points: list[CpuPoint] = []
    for wanted in STEPS:
        feeds, steps = _feeds(model, calibrate, wanted)
        if any(point.steps == steps for point in points):
            continue  # its steps are fixed
        cycles = ours.step * steps
        expected = next(_engines(model, feeds, 1))[2](feeds)
        for count in threads:
            for engine, numbers, run in _engines(model, feeds, count):
                difference = _difference(run(feeds), expected)
                if difference > (_SAME if numbers == "float32" else _NEAR):
                    raise SparnnError(
                        f"{model.name}: {engine} in {numbers} differs by {difference:.2g} from "
                        "ONNX Runtime; it is not measured"
                    )
                median, most = _time(run, feeds, calls)
                points.append(
                    CpuPoint(
                        str(model),
                        engine,
                        importlib.metadata.version(engine),
                        numbers,
                        steps,
                        count,
                        median,
                        most,
                        difference,
                        board,
                        ours.config.mac_units,
                        cycles / mhz,
                    )
                )
    return points


def _feeds(model: Path, calibrate: Path, steps: int) -> tuple[dict[str, np.ndarray[Any, Any]], int]:
    """One sequence of so many steps, or of the model's own where they are fixed, from the sample
    inputs, which repeat where they are short; and its steps."""
    loaded = onnx.load(model)
    feeds = {}
    with np.load(calibrate) as arrays:
        for value in loaded.graph.input:
            if value.name not in arrays:
                continue
            array = arrays[value.name].astype(np.float32)
            sizes = value.type.tensor_type.shape.dim
            if value.name == loaded.graph.input[0].name:
                free = [axis for axis, size in enumerate(sizes) if size.dim_param]
                times = [axis for axis in free if _is_time(sizes[axis].dim_param)]
                for axis in free:
                    if axis in times:
                        array = np.take(array, np.arange(steps) % array.shape[axis], axis)
                    else:
                        array = np.take(array, [0], axis)
                if not times:
                    steps = array.shape[1]
            feeds[value.name] = array
    return feeds, steps


def _is_time(name: str) -> bool:
    return any(word in name.lower() for word in ("time", "step", "frame", "seq", "length"))


def _engines(model: Path, feeds: Feeds, threads: int) -> Iterator[tuple[str, str, Run]]:
    """Name, numbers and a function that runs the model once."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3

    def with_onnxruntime(path: str) -> Run:
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        return lambda feeds: session.run(None, dict(feeds))

    yield "onnxruntime", "float32", with_onnxruntime(str(model))
    with tempfile.TemporaryDirectory(prefix="sparnn-cpu-") as folder:
        path = Path(folder) / "int8.onnx"
        if _quantized(model, path):
            yield "onnxruntime", "int8", with_onnxruntime(str(path))
    for numbers, run in torch_runs(model, feeds, threads):
        yield "torch", numbers, run
    try:
        import openvino
    except ImportError:
        return
    core = openvino.Core()
    hints = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = core.compile_model(str(model), "CPU", hints)
    request = compiled.create_infer_request()
    names = [output.any_name for output in compiled.outputs]
    yield (
        "openvino",
        "float32",
        lambda feeds: [request.infer(dict(feeds))[name].copy() for name in names],
    )


def _quantized(model: Path, path: Path) -> bool:
    """Write the file with LSTMs and matrices in int8; False where nothing of it can be."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.getLogger().setLevel(logging.ERROR)  # it warns of preparations that change nothing here
    quantize_dynamic(model, path, weight_type=QuantType.QInt8)
    kinds = {node.op_type for node in onnx.load(path).graph.node}
    return bool(kinds & {"DynamicQuantizeLSTM"})


def _difference(
    found: Sequence[np.ndarray[Any, Any]], expected: Sequence[np.ndarray[Any, Any]]
) -> float:
    return max(
        float(np.abs(one - other).max() / max(1e-9, np.abs(other).max()))
        for one, other in zip(found, expected, strict=True)
    )


def _time(run: Run, feeds: Feeds, calls: int) -> tuple[float, float]:
    for _ in range(_WARM):
        run(feeds)
    taken = np.empty(calls)
    for index in range(calls):
        begin = time.perf_counter_ns()
        run(feeds)
        taken[index] = time.perf_counter_ns() - begin
    return float(np.median(taken)) / 1000, float(np.percentile(taken, 99)) / 1000
