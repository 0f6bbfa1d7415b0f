"""A compiled model that is called like one of ONNX Runtime's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sparnn.sim.errors import SimulationError
from sparnn.sim.golden.layers import run_network
from sparnn.sim.golden.run import load_compiled, output_integers, quantize_sequence
from sparnn.sim.golden.trace import NetworkTrace
from sparnn.sim.host.answers import SequenceResult
from sparnn.sim.host.packets import constant_states
from sparnn.sim.host.program import MachineProgram
from sparnn.sim.network.arrays import assemble_outputs, check_inputs, padded_steps, sequences_of
from sparnn.sim.network.network import IntegerNetwork
from sparnn.sim.verilator.hardware import VERILOG, load_program, run_sequences

from .compare import mismatches
from .whole import Arrays, Whole, graph_feeds

__all__ = ["BACKENDS", "Backend", "Hardware", "InferenceSession", "Tensor", "states_after"]

Backend = Literal["golden", "verilator", "netlist", "serial"]
#: Backends: the integer golden model, the emitted Verilog in simulation, its netlist, a board.
BACKENDS: tuple[Backend, ...] = ("golden", "verilator", "netlist", "serial")
States = dict[tuple[str, int], npt.NDArray[np.int64]]
#: A part's folder, its program, and sequences with their states -> what the hardware answers.
Hardware = Callable[
    [Path, MachineProgram, Sequence[tuple[npt.NDArray[np.int64], States]]], list[SequenceResult]
]


@dataclass(frozen=True)
class Tensor:
    """An input or output: its name, the sizes that the model fixes, None where one is open, and its
    type, as ONNX Runtime writes it. Numbers of another type are converted."""

    name: str
    shape: tuple[int | None, ...] | None
    type: str = "tensor(float)"


class InferenceSession:
    """Runs a compiled folder.

    Parameters
    ----------
    folder
        What `sparnn compile` wrote.
    backend
        `golden`: the integer model, which is the specification. `verilator`: the Verilog in
        simulation, every value of which is compared with the golden model. Others are run by
        `hardware`, and compared as well.
    carry_state
        Recurrent layers go on from where the last call ended, as a stream does that comes frame by
        frame; :meth:`reset` begins anew. Only of layers that run forwards.

    hardware
        Runs a part's sequences; by default the Verilog in simulation.
    keep
        Whatever has to live as long as the session: what owns a temporary folder.

    Members
    -------
    state
        What the layers keep between calls: for each part and each sequence the integers by (role,
        layer). It may be read, kept and set again.

    Raises
    ------
    SimulationError
        The folder is not usable, or holds layers that run backwards where state is carried.

    Examples
    --------
    A stream, frame by frame::

        session = InferenceSession("build/digits", carry_state=True)
        for frame in frames:
            (y,) = session.run(None, {"x": frame})
    """

    def __init__(
        self,
        folder: Path | str,
        backend: Backend = "golden",
        *,
        carry_state: bool = False,
        hardware: Hardware | None = None,
        keep: object = None,
    ):
        if backend not in BACKENDS:
            raise SimulationError(f"backend {backend!r} is unknown: use one of {list(BACKENDS)}")
        self.folder, self.backend, self.carry_state = Path(folder), backend, carry_state
        self._keep = keep
        self._hardware = hardware or self._simulate
        self._whole = Whole.of(self.folder)
        self._parts = [self.folder] if self._whole is None else self._whole.parts
        self._loaded = {part: load_compiled(part) for part in self._parts}
        self.state: dict[str, list[States]] = {}
        backwards = [
            layer.name
            for _, network in self._loaded.values()
            for layer in network.layers
            if layer.reverse
        ]
        if carry_state and backwards:
            raise SimulationError(
                f"layer {backwards[0]!r} runs from the last step to the first: its state cannot be "
                "carried on, so run whole sequences without carry_state"
            )

    def get_inputs(self) -> list[Tensor]:
        """The model's inputs."""
        if self._whole is not None:
            inputs, type_of = self._whole.inputs, self._whole.type_of
            return [Tensor(name, sizes, type_of(name)) for name, sizes in inputs.items()]
        io = self._loaded[self.folder][0]["io"]
        found = {entry["name"]: tuple(entry["sizes"]) for entry in io["inputs"]}
        return [Tensor(name, sizes) for name, sizes in found.items()]

    def get_outputs(self) -> list[Tensor]:
        """The model's outputs, in its order; their sizes follow from the inputs'."""
        if self._whole is not None:
            return [Tensor(name, None, self._whole.type_of(name)) for name in self._whole.outputs]
        io = self._loaded[self.folder][0]["io"]
        return [Tensor(entry["name"], None) for entry in io["outputs"]]

    def reset(self) -> None:
        """Forget all state."""
        self.state.clear()

    def run(self, output_names: Sequence[str] | None, feeds: Arrays) -> list[npt.NDArray[Any]]:
        """Outputs for these inputs, in the model's layout.

        Parameters
        ----------
        output_names
            Which outputs, in which order; None is all of them.
        feeds
            One array for each of the model's inputs, by its name.

        Raises
        ------
        SimulationError
            An unknown output, inputs that do not fit, or hardware that is not bit exact.
        """
        known = [tensor.name for tensor in self.get_outputs()]
        wanted = known if output_names is None else list(output_names)
        unknown = [name for name in wanted if name not in known]
        if unknown:
            raise SimulationError(f"the model has no output {unknown[0]!r}: it has {known}")
        if self._whole is None:
            outputs = self._part(self.folder, feeds)
        else:
            several = graph_feeds(feeds, self._whole.inputs, "the call")
            if len(several) > 1 and self.carry_state:
                raise SimulationError(
                    "the model takes one sequence: with carry_state feed one at a time"
                )
            outputs = self._whole.joined([self._whole.run(one, self._part) for one in several])
        return [outputs[name] for name in wanted]

    def _part(self, part: Path, known: Arrays) -> dict[str, npt.NDArray[Any]]:
        manifest, network = self._loaded[part]
        io = manifest["io"]
        names = {entry["name"] for entry in io["inputs"]}
        own = {n: array for n, array in known.items() if part == self.folder or n in names}
        arrays = check_inputs(own, "the call", io, network.input_sizes)
        fed = [quantize_sequence(network, one) for one in sequences_of(arrays, io)]
        kept = self.state.get(str(part.relative_to(self.folder)), [])
        if kept and len(kept) != len(fed):
            raise SimulationError(
                f"{len(fed)} sequences are fed, and the state is that of {len(kept)}: call reset() "
                "first, or feed as many"
            )
        states: list[States] = [
            {**(kept[k] if kept else constant_states(network)), **one.initial}
            for k, one in enumerate(fed)
        ]
        inputs = [one.x for one in fed]
        traces = [run_network(network, x, s) for x, s in zip(inputs, states, strict=True)]
        if self.backend != "golden":
            self._compare(part, list(zip(inputs, states, strict=True)), traces)
        if self.carry_state:
            after = [states_after(network, trace) for trace in traces]
            self.state[str(part.relative_to(self.folder))] = after
        return assemble_outputs(
            io, [output_integers(io, trace) for trace in traces], padded_steps(arrays, io)
        )

    def _compare(
        self,
        part: Path,
        sequences: Sequence[tuple[npt.NDArray[np.int64], States]],
        traces: Sequence[NetworkTrace],
    ) -> None:
        program = load_program(part)
        results = self._hardware(part, program, sequences)
        count, first = mismatches(program, results, traces)
        if count:
            raise SimulationError(f"the hardware is not bit exact: {count} values, {first}")

    def _simulate(
        self,
        part: Path,
        program: MachineProgram,
        sequences: Sequence[tuple[npt.NDArray[np.int64], States]],
    ) -> list[SequenceResult]:
        return run_sequences(part, program, sequences, verilog=self.folder / VERILOG)[0]


def states_after(network: IntegerNetwork, trace: NetworkTrace) -> States:
    """What the next call begins with."""
    found: States = {}
    for index, (layer, one) in enumerate(zip(network.layers, trace.layers, strict=True)):
        if not layer.has_hidden or layer.join == "reset":
            continue
        # The two layers of a GRU that resets first share the state; its output is the second's.
        last = trace.layers[index + 1] if layer.kind == "gru_gates" else one
        found["initial_h", index] = last.h
        if one.state is not None:
            found["initial_c", index] = one.state
    for index, one in enumerate(trace.layers):
        found |= {(role, index): values for role, values in one.deltas.items()}
    return found
