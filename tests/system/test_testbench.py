"""The benches of an output folder: their vectors are what the hardware answers."""

from pathlib import Path

import numpy as np
import pytest
from support.benches import run_bench
from support.compiled import MACHINE, compiled
from support.onnx_cells import CELLS
from support.onnx_graphs import SUPPORTED

from sparnn.sim.verilator.hardware import run_driver
from sparnn.sim.verilator.verilate import build_driver

#: Outputs during the run and from the store, of last steps, and of both directions.
MODELS = ["bidirectional_lstm", "sum_view", "reverse_last"]
#: Small and quick to build.
SMALL = """
lanes = 1
max_v = 1
chunk = 8
sub_chunk = 4
columns = 16
weight_bits = 12
activation_bits = 14
store_depth = 256
"""


def vectors(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is said, what is answered, and the bits of it that count."""
    said = [int(line, 16) for line in (folder / "said.hex").read_text().split()]
    answered = [int(line, 16) for line in (folder / "answered.hex").read_text().split()]
    values = [one & 0xFFFFFFFF for one in answered]
    masks = [one >> 32 for one in answered]
    return tuple(np.array(one, np.uint32) for one in (said, values, masks))


@pytest.mark.parametrize("name", MODELS)
def test_vectors_are_what_the_hardware_answers(name: str, tmp_path: Path) -> None:
    out, _ = compiled(SUPPORTED[name](), tmp_path, MACHINE)
    said, values, masks = vectors(out / "tb")
    said = np.concatenate([np.fromfile(out / "image.bin", "<u4"), said])
    assert np.count_nonzero(masks) > 0.6 * len(masks)
    binary = build_driver(out / "sparnn.v")
    answer, _, problem = run_driver(binary, said, len(values), {"--watchdog": 100_000})
    assert problem is None
    np.testing.assert_array_equal(answer & masks, values & masks)


def test_cocotb_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python bench passes; where the golden model said something else, it fails."""
    out, _ = compiled(CELLS["clip_hard"](), tmp_path, SMALL + "hard_sigmoid = 1\n")
    monkeypatch.syspath_prepend(str(out / "tb"))
    assert len(run_bench(out, "test_sparnn", "sparnn", ("sparnn.v",))) == 2
    answered = out / "tb" / "answered.hex"
    lines = answered.read_text().split()
    lines[1] = f"{int(lines[1], 16) ^ 1:016x}"
    answered.write_text("\n".join(lines) + "\n")
    with pytest.raises(AssertionError, match="without_pauses"):
        run_bench(out, "test_sparnn", "sparnn", ("sparnn.v",))


@pytest.mark.deep
def test_cocotb_bench_with_weights_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "hard_sigmoid = 1\nstream_bits = 32\nmask_depth = 256\nweight_depth = 256\n"
    out, _ = compiled(CELLS["clip_hard"](), tmp_path, SMALL + text)
    monkeypatch.syspath_prepend(str(out / "tb"))
    assert len(run_bench(out, "test_sparnn", "sparnn", ("sparnn.v",))) == 2
    weights = bytearray((out / "weights.bin").read_bytes())
    weights[len(weights) // 2] ^= 4
    (out / "weights.bin").write_bytes(weights)
    with pytest.raises(AssertionError, match="without_pauses"):
        run_bench(out, "test_sparnn", "sparnn", ("sparnn.v",))
