"""A loaded network as its host sees it: program.json of a compiled folder."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from sparnn.hdl.emit import machine_config
from sparnn.hdl.errors import ConfigurationError
from sparnn.hdl.host.protocol import IMAGE_VERSION, Kind
from sparnn.hdl.machine import MachineConfig
from sparnn.sim.errors import SimulationError

__all__ = ["LayerProgram", "MachineProgram", "Run"]


@dataclass(frozen=True)
class LayerProgram:
    """One layer.

    Members
    -------
    name: what messages call the layer.
    descriptor: field -> value, every field of the machine's DESCRIPTOR.
    neurons: position -> neuron.
    columns: position -> column of the input, -1: none; only for a machine with ``delta``.
    f_out, f_state: formats of the output and of the state.
    tiling: how the columns of a row are split, or the tiles and the schedule, for people.
    read_state: the host reads the final cell state back.
    sequence_base, sequence_words, sequence_order: where the host reads the outputs of a stage after
        the run, which it does where they do not come in their order during it (the stage runs
        backwards, its layers are joined, or streams take turns): first store word, words per step,
        and position -> feature (-1: none). They stand at the stage's last layer. An empty order:
        the host does not.
    """

    name: str
    descriptor: Mapping[str, int]
    neurons: tuple[int, ...]
    f_out: int
    f_state: int
    tiling: str
    read_state: bool = False
    sequence_base: int = 0
    sequence_words: int = 0
    sequence_order: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()

    @property
    def kind(self) -> Kind:
        return Kind(self.descriptor["kind"])

    @property
    def has_hidden(self) -> bool:
        return self.kind != Kind.LINEAR

    @property
    def halves(self) -> str:
        """Its halves: x, and h unless it is linear."""
        return "xh" if self.has_hidden else "x"

    @property
    def rows(self) -> int:
        """Of a half: those of the network, without the empty gate of a GRU that resets first."""
        empty = self.descriptor.get("reset_first", 0) and self.kind == Kind.GRU
        return (self.kind.gates - bool(empty)) * len(self.neurons)

    @property
    def reverse(self) -> bool:
        """It begins with the last step; of one step, it reads the last one."""
        return bool(self.descriptor.get("reverse", 0))

    @property
    def continues(self) -> bool:
        """It is the candidate to the GRU's gates before it, whose states it shares."""
        return bool(self.descriptor.get("reset_first", 0)) and self.kind == Kind.RNN

    @property
    def has_state(self) -> bool:
        return self.kind in (Kind.LSTM, Kind.GRU)

    def steps(self, steps: int) -> int:
        """Steps that the layer takes in a run of so many."""
        return 1 if self.descriptor["single_step"] else steps

    def emitted(self, steps: int) -> int:
        """RESULT packets in a run of so many steps."""
        if not self.descriptor["emit"]:
            return 0
        return 1 if self.descriptor["emit_last"] or self.descriptor["single_step"] else steps

    def state_entries(self, post_units: int) -> list[tuple[int, int]]:
        """Post units that hold states of this layer, and how many each."""
        units = len(self.neurons)
        used = range(min(units, post_units))
        return [(unit, len(range(unit, units, post_units))) for unit in used]


@dataclass(frozen=True)
class MachineProgram:
    """A network as the host sees it.

    Members
    -------
    config: the machine that the network was packed for.
    layers: in the order in which they run.
    inputs: position -> feature of the network's input.
    max_steps: most steps of one RUN.
    step_bound: more cycles than any step takes, whatever overlaps: for a watchdog.
    streams: sequences that take turns; above 1 the host reads all outputs from the store.
    """

    config: MachineConfig
    layers: tuple[LayerProgram, ...]
    inputs: tuple[int, ...]
    max_steps: int
    step_bound: int
    streams: int = 1

    def to_dict(self) -> dict[str, Any]:
        """For program.json."""
        layers = [
            asdict(replace(layer, descriptor=dict(layer.descriptor))) for layer in self.layers
        ]
        return {
            "version": IMAGE_VERSION,
            "machine": self.config.MACHINE,
            "config": asdict(self.config),
            "max_steps": self.max_steps,
            "step_bound": self.step_bound,
            "streams": self.streams,
            "inputs": list(self.inputs),
            "layers": layers,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "MachineProgram":
        """The inverse of :meth:`to_dict`.

        Raises
        ------
        SimulationError: it is of another version, or damaged.
        """
        try:
            if content["version"] != IMAGE_VERSION:
                raise SimulationError(
                    f"program.json and image have the format version {content['version']}, this "
                    f"sparnn reads {IMAGE_VERSION}: compile the model again"
                )
            layers = tuple(
                LayerProgram(
                    **{
                        **layer,
                        "neurons": tuple(layer["neurons"]),
                        "sequence_order": tuple(layer.get("sequence_order", ())),
                        "columns": tuple(layer.get("columns", ())),
                    }
                )
                for layer in content["layers"]
            )
            return cls(
                machine_config(content["machine"], content["config"]),
                layers,
                tuple(content["inputs"]),
                content["max_steps"],
                content["step_bound"],
                content.get("streams", 1),
            )
        except (KeyError, TypeError, ValueError, ConfigurationError) as error:
            raise SimulationError(
                f"program.json is damaged ({type(error).__name__}: {error}): compile the model "
                "again"
            ) from None


@dataclass(frozen=True)
class Run:
    """One RUN: a segment of a sequence.

    Members
    -------
    sequence: the number of the sequence.
    steps: of the segment.
    read_states: the answers to READ follow DONE.
    """

    sequence: int
    steps: int
    read_states: bool
