"""What runs of networks do not reach, and the machine has to bear: bits of descriptors that it does
not look at, and numbers of steps that no store has room for."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from sparnn.hdl.common.numbers import ceil_div, clog2
from sparnn.hdl.host.protocol import RUN_STEPS_BITS, Kind, Opcode, Response, Target, header
from sparnn.hdl.machine import MachineConfig
from sparnn.sim.aliases import Words
from sparnn.sim.host.packets import write_packet
from sparnn.sim.host.program import MachineProgram
from sparnn.sim.network.network import IntegerNetwork

__all__ = [
    "LONG",
    "STEPS",
    "check_equal",
    "constant_network",
    "large_layers",
    "other_steps",
    "with_other_bits",
]

#: Numbers of steps that a run of layers of one step is told, so that each of their bits moves.
STEPS = ((1 << RUN_STEPS_BITS) - 1, 1, 0xAAAAAA, 0x555555, 1 << RUN_STEPS_BITS - 1)

#: Steps of runs of a layer whose outputs are all the same, far beyond the store.
LONG = (0xFFFF, 0x5555, 1)
#: Units, words of input and cycles of a pass of such layers on the dense machine, beyond all of its
#: memories: addresses begin again.
_LARGE = ((32766, 65535, 2), (21844, 21845, 3), (10922, 43690, 2), (8, 1, 4096), (8, 1, 2))

#: What these outputs are: two equal bytes, since the one may be written over the other.
_VALUE = 0x0505

_PHASES = range(3)


def with_other_bits(program: MachineProgram, rng: np.random.Generator) -> Words:
    """The packet that loads the program with drawn values where the machine does not look."""
    config = program.config
    words = []
    for layer in program.layers:
        fields = dict(layer.descriptor)
        for name, mask in _UNSEEN[config.MACHINE](config, fields).items():
            drawn = int(rng.choice([0, -1, int(rng.integers(1 << 30))]))
            fields[name] = fields[name] & ~mask | drawn & mask
        words += config.DESCRIPTOR.encode(fields)
    entries = np.zeros((len(words), _words(config)), np.uint32)
    entries[:, 0] = words
    return write_packet(config, Target.PROGRAM, 0, 0, entries)


def other_steps(packets: Words, steps: int) -> Words:
    """The packets of a sequence of one run with another number of steps."""
    runs = np.flatnonzero(packets >> 28 == Opcode.RUN)
    changed = packets.copy()
    flags = int(packets[runs[-1]]) & (1 << 28) - (1 << RUN_STEPS_BITS)
    changed[runs[-1]] = header(Opcode.RUN, flags | steps)
    return changed


def _words(config: MachineConfig) -> int:
    return config.link_words


def _above(config: MachineConfig, depths: Mapping[str, int]) -> dict[str, int]:
    """The bits of addresses beyond memories of so many entries."""
    found = {}
    for name, depth in depths.items():
        width = config.DESCRIPTOR.width(name)
        found[name] = (1 << width) - (1 << min(width, clog2(depth)))
    return found


def _whole(config: MachineConfig, *names: str) -> dict[str, int]:
    return {name: (1 << config.DESCRIPTOR.width(name)) - 1 for name in names}


def _sparse(config: Any, fields: Mapping[str, int]) -> dict[str, int]:
    store = dict.fromkeys(("in_base", "out_base", "hidden_base"), config.store_depth)
    return _above(
        config,
        {
            **store,
            "mask_base": config.mask_depth,
            "weight_base": config.weight_depth,
            "parameter_base": config.parameter_depth,
            "state_base": config.state_depth,
        },
    )


def _dense(config: Any, fields: Mapping[str, int]) -> dict[str, int]:
    store = dict.fromkeys(("in_base", "out_base", "hidden_base"), config.store_depth)
    parameters = dict.fromkeys(("parameter_base_x", "parameter_base_h"), config.parameter_depth)
    above = _above(
        config,
        {
            **store,
            **parameters,
            "weight_base": config.weight_depth,
            "state_base": config.state_depth,
        },
    )
    unused = ["mask_base", "pair_parameters", "cell_shift"]
    if not fields["last_apart"]:
        unused.append("in_last_base")
    linear = fields["kind"] == Kind.LINEAR
    if linear:
        unused += ["parameter_base_h", "state_base", "hidden_base"]
    for half in ("x", "h"):
        ended = half == "h" and linear
        for phase in _PHASES:
            names = [f"{half}{phase}_{part}" for part in ("groups_log2", "length_last", "passes")]
            none = fields[names[-1]] == 0
            if ended:
                unused += names
            elif none:  # that there is none has to stay
                unused += names[:-1]
            ended |= none
    return above | _whole(config, *unused)


#: Machine's name -> of a descriptor, the bits of each field that the machine does not look at.
_UNSEEN: Mapping[str, Callable[[Any, Mapping[str, int]], dict[str, int]]] = {
    "sparse": _sparse,
    "dense": _dense,
}


def constant_network(network: IntegerNetwork, units: int) -> IntegerNetwork:
    """One linear layer of so many units without weights, all of whose outputs are the same."""
    (layer,) = network.layers
    rows = (1, units)
    layer = replace(
        layer,
        w_x=np.zeros((*rows, layer.inputs), np.int32),
        mult_x=np.full(rows, 20000, np.int32),
        shift_x=np.full(rows, 16, np.int32),
        bias_x=np.full(rows, _VALUE, np.int32),
    )
    return replace(network, layers=(layer,))


def large_layers(program: MachineProgram, rng: np.random.Generator) -> list[tuple[Words, int]]:
    """Packets that run the one layer of a dense machine's program with other sizes, and the
    values that it answers."""
    config: Any = program.config
    (layer,) = program.layers
    found = []
    for units, in_words, length in _LARGE:
        fields = {
            "units": units,
            "in_words": in_words,
            "out_words": ceil_div(units, config.word),
            "out_stride": int(rng.integers(1 << 16)),  # of one step nobody looks at it
            "x0_groups_log2": 0,
            "x0_length_last": length - 1,
            "x0_passes": ceil_div(units, config.cells),
            "x1_passes": 0,
            "single_step": 1,
        }
        changed = replace(layer, descriptor={**layer.descriptor, **fields})
        load = with_other_bits(replace(program, layers=(changed,)), rng)
        run = np.zeros(config.link_words, np.uint32)
        run[0] = header(Opcode.RUN, 1)
        found.append((np.concatenate([load, run]), units))
    return found


def check_equal(answer: Words, runs: list[int], value: int) -> bool:
    """Whether an answer is, for each number, a step of so many values, all of them the same."""
    at = 0
    for count in runs:
        step = answer[at : at + 1 + count]
        if len(step) != 1 + count or step[0] != header(Response.RESULT, count):
            return False
        if (step[1:] != value & 0xFFFFFFFF).any():
            return False
        at += 1 + count
        while at < len(answer) and answer[at] >> 28 in (Response.DONE, Response.DATA):
            counters = answer[at] >> 28 == Response.DATA
            at += 1 + (int(answer[at]) & (1 << 28) - 1 if counters else 1)
    return at == len(answer)
