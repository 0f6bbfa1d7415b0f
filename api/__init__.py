"""sparnn: from a trained recurrent network to a hardware accelerator.

- :func:`compile` turns an ONNX model or a PyTorch module into a :class:`Compiled` accelerator;
- :func:`load` reads one that lies in a folder;
- :class:`InferenceSession` runs it, in the integer golden model or in its simulated Verilog.

All else in the package may change from release to release.

Examples
--------
>>> import numpy as np
>>> import sparnn
>>> compiled = sparnn.compile(model, calibrate=samples, lanes=2)
>>> session = sparnn.InferenceSession(compiled, carry_state=True)
>>> (y,) = session.run(None, {"x": samples["x"][:1]})
>>> y.shape[-1]
4
"""

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt

    from sparnn.gen.compile import CompileSummary
    from sparnn.sim.runner import SimulationReport
    from sparnn.sim.session.session import Backend, Hardware
    from sparnn.sim.session.session import InferenceSession as _Session

__all__ = ["Compiled", "InferenceSession", "compile", "load"]

Arrays = Mapping[str, "npt.ArrayLike"]


class Compiled:
    """A compiled model: a folder with the Verilog, weight images, program and reports.

    Members
    -------
    folder: where it lies. One that was compiled without a folder is removed with this object.
    summary: what the compiler says; None of a folder that was loaded.
    """

    def __init__(
        self,
        folder: Path,
        summary: "CompileSummary | None" = None,
        temporary: Path | None = None,
    ):
        self.folder = Path(folder)
        self.summary = summary
        if temporary is not None:
            weakref.finalize(self, shutil.rmtree, temporary, ignore_errors=True)

    def save(self, folder: Path | str) -> "Compiled":
        """Copy it into a folder, which must not hold anything else.

        Raises
        ------
        SparnnError: the folder holds something else.
        """
        from sparnn.gen.output.folder import written_aside

        with written_aside(Path(folder)) as aside:
            shutil.copytree(self.folder, aside, dirs_exist_ok=True)
        return Compiled(Path(folder), self.summary)

    def simulate(self, inputs: Path | str | Arrays) -> "SimulationReport":
        """Simulate the Verilog, and compare it with the golden model and the float reference."""
        from sparnn.sim.runner import simulate

        with tempfile.TemporaryDirectory(prefix="sparnn-") as place:
            return simulate(self.folder, _npz(inputs, Path(place) / "inputs.npz"))


def compile(
    model: Any,
    *,
    calibrate: Path | str | Arrays,
    output: Path | str | None = None,
    **options: Any,
) -> Compiled:
    """Compile a model.

    Parameters
    ----------
    model: the path of an ONNX file, or of a TOML file beside a state dict (docs/models.md), an
        `onnx.ModelProto`, or a `torch.nn.Module`, which PyTorch exports on the calibration arrays:
        they are its arguments, in their order.
    calibrate: sample inputs by name, or the path of an npz file that holds them.
    output: the folder; a temporary one where none is given.
    options: of :func:`sparnn.gen.compile.compile_model`: config, lanes, prune, weight_bits,
        activation_bits, split_scales, sqnr, calibration, steps, streams, delta, delta_sqnr.

    Raises
    ------
    SparnnError, ConfigurationError, SimulationError: something that has to be changed.
    """
    from sparnn.gen.compile import compile_model

    temporary = None
    if output is None:
        temporary = Path(tempfile.mkdtemp(prefix="sparnn-"))
        output = temporary / "compiled"
    with tempfile.TemporaryDirectory(prefix="sparnn-") as place:
        samples = _npz(calibrate, Path(place) / "calibrate.npz")
        file = _onnx(model, samples, Path(place) / "model.onnx")
        summary = compile_model(file, samples, Path(output), **options)
    return Compiled(Path(output), summary, temporary)


def load(folder: Path | str) -> Compiled:
    """A folder that `sparnn compile` or :meth:`Compiled.save` wrote.

    Raises
    ------
    SimulationError: it is no such folder.
    """
    from sparnn.sim.golden.run import read_manifest

    read_manifest(Path(folder))
    return Compiled(Path(folder))


def InferenceSession(
    compiled: Compiled | Path | str,
    backend: "Backend" = "golden",
    *,
    carry_state: bool = False,
    target: str = "ecp5",
    board: str = "ulx3s",
    port: str = "sim",
) -> "_Session":
    """A session of a compiled model: :class:`sparnn.sim.session.session.InferenceSession`.

    Parameters
    ----------
    backend: ``golden``, the integer model; ``verilator``, the Verilog in simulation; ``netlist``,
        the cells of an FPGA family in simulation, which needs what ``sparnn synth`` needs;
        ``serial``, a board on a serial port, into which each call loads the network. All but the
        first compare every value with the integer model.
    target: of ``netlist``. board, port: of ``serial``; the port ``sim`` is the board's top in
        simulation.

    Raises
    ------
    SparnnError, SimulationError: something that has to be changed.
    """
    from sparnn.sim.session.session import InferenceSession as Session

    folder = compiled.folder if isinstance(compiled, Compiled) else Path(compiled)
    hardware = None
    if backend == "netlist":
        hardware = _on_netlist(folder, target)
    elif backend == "serial":
        hardware = _on_board(board, port)
    keep = compiled if isinstance(compiled, Compiled) else None
    return Session(folder, backend, carry_state=carry_state, hardware=hardware, keep=keep)


def _on_netlist(folder: Path, target: str) -> "Hardware":
    from sparnn.gen.synth.netlist_sim import netlist_file
    from sparnn.sim.verilator.hardware import run_sequences

    netlist = netlist_file(folder, target)
    return lambda part, program, sequences: run_sequences(
        part, program, sequences, verilog=netlist
    )[0]


def _on_board(board: str, port: str) -> "Hardware":
    from sparnn.gen.boards.run import run_sequences_on, serial_board

    found = serial_board(board)
    return lambda part, program, sequences: (
        run_sequences_on(found, port, part, program, sequences).results
    )


def _npz(arrays: Path | str | Arrays, file: Path) -> Path:
    """The file of arrays; those that are in memory are written into ``file``."""
    if isinstance(arrays, Path | str):
        return Path(arrays)
    import numpy as np

    from sparnn.sim.network.arrays import write_npz

    write_npz(file, {name: np.asarray(array) for name, array in arrays.items()}, level=1)
    return file


def _onnx(model: Any, samples: Path, file: Path) -> Path:
    if isinstance(model, Path | str):
        return Path(model)
    import onnx

    if isinstance(model, onnx.ModelProto):
        onnx.save(model, file)
        return file
    from sparnn.gen.torch_export import export_module

    export_module(model, samples, file)
    return file
