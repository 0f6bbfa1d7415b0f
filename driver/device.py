"""A network on a device: real numbers in, real numbers out, in the model's names and layout."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparnn.sim.errors import SimulationError
from sparnn.sim.golden.run import load_compiled, quantize_sequence
from sparnn.sim.host.answers import expected_words, parse_results
from sparnn.sim.host.deltas import no_deltas
from sparnn.sim.host.outputs import hardware_outputs
from sparnn.sim.host.packets import (
    constant_states,
    sequence_packets,
    state_map,
    state_packets,
)
from sparnn.sim.host.program import MachineProgram, Run
from sparnn.sim.network.arrays import assemble_outputs, check_inputs, sequences_of
from sparnn.sim.network.network import IntegerNetwork
from sparnn.sim.verilator.hardware import EXTERNAL, IMAGE, load_program, read_image

from .jobs import JobTransport, StatePlaces
from .states import State, parse_states, state_questions
from .stream import Stream
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
        self._mapped = False  # the transport knows how to read states

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
        self._mapped = False

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
        return self._run(inputs, state or {}, None)

    def stream(self, state: State | None = None) -> Stream:
        """A sequence that comes in pieces; there may be any number, which take turns.

        Parameters
        ----------
        state: to begin with, as :meth:`state` gives it; that of the network without it.

        Raises
        ------
        SimulationError: no network is loaded, it has layers that run backwards, or the memory is
            too small.
        """
        program, network, _ = self._network()
        for layer in network.layers:
            if layer.reverse:
                raise SimulationError(
                    f"layer {layer.name!r} runs from the last step to the first: its sequences "
                    "cannot come in pieces, run them whole"
                )
        initial = {**no_deltas(program), **constant_states(network), **(state or {})}
        transport = self._transport
        if not any(one.has_hidden for one in program.layers):
            return Stream(lambda inputs: self._run(inputs, {}, None, one=True))
        if not isinstance(transport, JobTransport):
            return Stream(self._moving_states(initial))
        states = np.concatenate(state_packets(program, initial))
        if not self._mapped:
            transport.keep_map(state_map(program), len(states))
            self._mapped = True
        places = transport.keep_states(states)
        return Stream(lambda inputs: self._run(inputs, {}, places))

    def _moving_states(
        self, state: State
    ) -> Callable[[Arrays | npt.NDArray[Any]], dict[str, npt.NDArray[np.float32]]]:
        """Runs a stream whose states the host puts into the machine and takes out again."""

        def run(inputs: Arrays | npt.NDArray[Any]) -> dict[str, npt.NDArray[np.float32]]:
            nonlocal state
            outputs = self._run(inputs, state, None, one=True)
            state = self.state()
            return outputs

        return run

    def _run(
        self,
        inputs: Arrays | npt.NDArray[Any],
        state: State,
        places: StatePlaces | None,
        *,
        one: bool = False,
    ) -> dict[str, npt.NDArray[np.float32]]:
        program, network, io = self._network()
        names = list(dict.fromkeys(entry["name"] for entry in io["inputs"]))
        if not isinstance(inputs, Mapping):
            inputs = {names[0]: np.asarray(inputs)}
        arrays = check_inputs(dict(inputs), "the inputs", io, network.input_sizes)
        parts, runs = [], list[Run]()
        self.saturated = 0
        sequences = sequences_of(arrays, io)
        if (places is not None or one) and len(sequences) != 1:
            raise SimulationError(
                f"{len(sequences)} sequences were given to one stream: make a stream for each"
            )
        for number, sequence in enumerate(sequences):
            fed = quantize_sequence(network, sequence)
            self.saturated += fed.saturated
            known = {} if places is not None else constant_states(network)
            initial = {**known, **fed.initial, **state}
            words, more = sequence_packets(
                program, number, fed.x, initial, resume=places is not None
            )
            parts.append(words)
            runs += more
        expected = expected_words(program, runs)
        longest = max(run.steps for run in runs) * program.step_bound
        packets = np.concatenate(parts)
        if places is None:
            answer = self._transport.exchange(packets, expected, longest)
        else:
            assert isinstance(self._transport, JobTransport)
            answer = self._transport.exchange(packets, expected, longest, places)
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
