"""`python -m sparnn.gen.bench.conversions --peer PYTHON`: networks of PyTorch and Keras in a peer.

PYTHON is that of an environment with hls4ml, PyTorch and Keras (``pip install hls4ml torch keras
onnxscript``); it runs :mod:`.peer_hls4ml`, which makes the networks, exports them as ONNX and
converts them. Here the ONNX files are compiled, and the outputs of the golden model, of the float
path and of ONNX Runtime compared with the framework's. Into docs/results/peers.json.
"""

import argparse
import datetime
import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sparnn.gen.compile import compile_model
from sparnn.gen.errors import SparnnError
from sparnn.gen.graph.read import read_model
from sparnn.sim.errors import SimulationError
from sparnn.sim.host_model import HostModel
from sparnn.sim.network.arrays import write_npz
from sparnn.sim.session.session import InferenceSession

from .tables import write_pages

__all__ = ["main"]

RESULTS = Path("docs/results/peers.json")
#: Below this a conversion is another network, whatever its widths are.
_SAME = 10.0


def _decibels(true: np.ndarray[Any, Any], given: np.ndarray[Any, Any]) -> float:
    noise = float(((true - given) ** 2).sum())
    return float(10 * np.log10(float((true**2).sum()) / noise)) if noise else float("inf")


def ours(folder: Path) -> dict[str, Any]:
    """What becomes of an exported file: its golden model and ONNX Runtime beside the framework."""
    with np.load(folder / "m.npz") as data:
        x, y, samples = (data[name].astype(np.float32) for name in ("x", "y", "samples"))
    model = folder / "m.onnx"
    host = HostModel(model, str(model))
    (name,) = host.inputs
    session = InferenceSession(_compiled(folder, name, samples))
    (output,) = (tensor.name for tensor in session.get_outputs())
    (golden,) = session.run(None, {name: x})
    try:
        error = f"{np.abs(host.run({name: x}, [output])[output] - y).max():.1e}"
    except SimulationError:
        error = "cannot run the file"
    read = read_model(model, folder / "samples.npz")
    where = "machine" if read.cut is None else "machine and host"
    return {
        "onnxruntime": error,
        "golden_db": _decibels(y, golden),
        "where": where + ", recognized" * bool(read.cells),
    }


def _compiled(folder: Path, name: str, samples: np.ndarray[Any, Any]) -> Path:
    write_npz(folder / "samples.npz", {name: samples})
    compile_model(folder / "m.onnx", folder / "samples.npz", folder / "out", lanes=4)
    return folder / "out"


def _peer_says(row: Mapping[str, Any]) -> str:
    if row["refused"]:
        text = row["refused"].removeprefix("Exception: ").replace("|", "/")
        return f"refused: {text[:120]}"
    if "shape" in row:
        return f"converted to {row['shape'][0]} outputs of {row['shape'][1]}, no warning"
    if row["sqnr_db"] < _SAME:
        return f"converted to another network: {row['sqnr_db']:.1f} dB, no warning"
    return f"{row['sqnr_db']:.1f} dB"


def table(given: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The table of docs/results/peers.json, of what the peer has written."""
    rows = []
    for one in given["rows"]:
        row = dict(one) | {"peer": _peer_says(one)}
        try:
            row |= ours(folder / one["folder"])
            row["shown"] = f"{row['golden_db']:.1f} dB"
        except SparnnError as error:
            why = str(error).removeprefix(f"{folder / one['folder'] / 'm.onnx'}: ")
            row |= {"where": "nobody", "shown": f"refused: {why}"}
        rows.append(row)
        print(row, flush=True)
    own = ", ".join(f"{n} {importlib.metadata.version(n)}" for n in ("sparnn", "onnxruntime"))
    peers = ", ".join(f"{name} {version}" for name, version in given["versions"].items())
    return {
        "provenance": {
            "command": "python -m sparnn.gen.bench.conversions --peer PYTHON",
            "date": datetime.date.today().isoformat(),
            "versions": f"{own}, {peers}",
        },
        "columns": [
            {"title": "written in", "text": "{of}"},
            {"title": "network", "text": "{kind}"},
            {"title": "hls4ml, 32-bit fixed point", "text": "{peer}"},
            {"title": "sparnn, integers of the widths that it chose", "text": "{shown}"},
            {"title": "computed by", "text": "{where}"},
            {"title": "ONNX Runtime, largest error", "text": "{onnxruntime}"},
        ],
        "rows": rows,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m sparnn.gen.bench.conversions", description=__doc__
    )
    parser.add_argument("--peer", type=Path, help="the Python of the peer's environment")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/peers"))
    given = parser.parse_args(arguments)
    place = given.output.resolve()
    if given.peer is not None:
        script = Path(__file__).with_name("peer_hls4ml.py")
        # -P: the modules beside the script are none of the peer's.
        subprocess.run([str(given.peer), "-P", str(script), str(place)], check=True)
    try:
        written = json.loads((place / "peer.json").read_text(encoding="utf-8"))
        results = json.loads(RESULTS.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        print(f"sparnn: error: {error}: name the peer's Python with --peer", file=sys.stderr)
        return 2
    results["tables"]["conversions"] = table(written, place)
    text = json.dumps(results, indent=1, ensure_ascii=False)
    RESULTS.write_text(text + "\n", encoding="utf-8")
    write_pages(Path())
    return 0


if __name__ == "__main__":
    sys.exit(main())
