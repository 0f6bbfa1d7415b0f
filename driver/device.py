"""A network on a device: real numbers in, real numbers out, in the model's names and layout."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.sim.errors import SimulationError
from sparnn.sim.golden.run import load_compiled, quantize_sequence
from sparnn.sim.host.answers import expected_words, parse_results
from sparnn.sim.host.outputs import hardware_outputs
from sparnn.sim.host.packets import constant_states, sequence_packets
from sparnn.sim.host.program import MachineProgram, Run
from sparnn.sim.network.arrays import assemble_outputs, check_inputs, sequences_of
from sparnn.sim.network.network import IntegerNetwork
from sparnn.sim.verilator.hardware import EXTERNAL, IMAGE, load_program, read_image

from .jobs import JobTransport
from .states import State, parse_states, state_questions
from .transport import Transport

__all__ = ["Device"]

Arrays = Mapping[str, npt.NDArray[Any]]


class Device:
    """Runs the network of a compiled folder.

    Parameters
    ----------
    transport: the way to the machine: :class:`~sparnn.driver.serial.SerialTransport`,
        :class:`~sparnn.driver.jobs.JobTransport`, or your own.

    Members
    -------
    saturated: values of the inputs of the last :meth:`run` that did not fit their format.
    cycles: of its last :meth:`run`, all sequences together.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._loaded: tuple[MachineProgram, IntegerNetwork, Mapping[str, Any]] | None = None
        self.saturated = 0
        self.cycles = 0

    def load(self, folder: Path | str) -> None:
        """Check that the machine is the folder's, and load the network.

        Raises
        ------
        SimulationError: the folder cannot be used, the machine is another one or does not answer.
        """
        folder = Path(folder)
        manifest, network = load_compiled(folder)
        program = load_program(folder)
        if program.streams > 1:
            raise SimulationError(
                f"{folder}: {program.streams} sequences take turns, the driver runs one at a time: "
                "compile without --streams"
            )
        image = read_image(folder / IMAGE)
        self._transport.connect(program.config)
        if program.config.stream_bits:
            if not isinstance(self._transport, JobTransport):
                raise SimulationError(
                    f"{folder}: the machine reads its weights from memory, which a serial link has "
                    "not: use a machine behind --bus axi, or stream_bits = 0"
                )
            self._transport.keep_weights(read_image(folder / EXTERNAL))
        self._transport.exchange(image, 0, len(image))
        self._loaded = program, network, manifest["io"]

    def run(
        self, inputs: Arrays | npt.NDArray[Any], *, state: State | None = None
    ) -> dict[str, npt.NDArray[np.float32]]:
        """The model's outputs.

        Parameters
        ----------
        inputs: by the model's names and in its layout; the array alone where there is one input.
            Each element along the batch axis is a sequence.
        state: what :meth:`state` gave, to go on from there; each sequence does.

        Raises
        ------
        SimulationError: no network is loaded, an input is not what the model takes, or the device
            does not answer as it should.
        """
        program, network, io = self._network()
        names = list(dict.fromkeys(entry["name"] for entry in io["inputs"]))
        if not isinstance(inputs, Mapping):
            inputs = {names[0]: np.asarray(inputs)}
        arrays = check_inputs(dict(inputs), "the inputs", io, network.input_sizes)
        parts, runs = [], list[Run]()
        self.saturated = 0
        for number, one in enumerate(sequences_of(arrays, io)):
            fed = quantize_sequence(network, one)
            self.saturated += fed.saturated
            initial = {**constant_states(network), **fed.initial, **(state or {})}
            words, more = sequence_packets(program, number, fed.x, initial)
            parts.append(words)
            runs += more
        expected = expected_words(program, runs)
        longest = max(run.steps for run in runs) * program.step_bound
        answer = self._transport.exchange(np.concatenate(parts), expected, longest)
        results = parse_results(program, runs, answer)
        self.cycles = sum(result.cycles for result in results)
        return assemble_outputs(io, [hardware_outputs(io, result) for result in results])

    def state(self) -> State:
        """The states that the last sequence left in the machine, for :meth:`run` to go on from.

        Raises
        ------
        SimulationError: no network is loaded, or the device does not answer as it should.
        """
        program, _, _ = self._network()
        words, expected = state_questions(program)
        return parse_states(program, self._transport.exchange(words, expected, len(words)))

    def reset(self) -> None:
        """Reset the machine's control; the network stays loaded."""
        self._transport.reset()

    def _network(self) -> tuple[MachineProgram, IntegerNetwork, Mapping[str, Any]]:
        if self._loaded is None:
            raise SimulationError("no network is loaded: call load with a compiled folder")
        return self._loaded
