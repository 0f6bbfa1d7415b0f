"""Layer descriptors of the dense machine."""

from collections.abc import Mapping

from sparnn.hdl.errors import ConfigurationError

__all__ = [
    "HALVES",
    "PHASES",
    "TILE_DESCRIPTOR_WORDS",
    "TILE_FIELDS",
    "encode_tile_descriptor",
    "phase_field",
]

#: Words per descriptor.
TILE_DESCRIPTOR_WORDS = 16
#: Runs of equal passes in each half: a tile shape and how many passes it makes.
PHASES = 3
HALVES = ("x", "h")


def phase_field(half: str, phase: int, part: str) -> str:
    """Name of the descriptor field of one phase: ``groups_log2``, ``length_last`` or ``passes``."""
    return f"{half}{phase}_{part}"


def _phases() -> dict[str, tuple[int, int, int, bool]]:
    fields = {}
    for half, first in zip(HALVES, (10, 13), strict=True):
        for phase in range(PHASES):
            word = first + phase
            # Row segments side by side, cycles of one pass less one, passes (0: no such phase).
            fields[phase_field(half, phase, "groups_log2")] = (word, 0, 4, False)
            fields[phase_field(half, phase, "length_last")] = (word, 4, 12, False)
            fields[phase_field(half, phase, "passes")] = (word, 16, 14, False)
    return fields


#: name -> (word, low bit, width, signed). Names shared with protocol.DESCRIPTOR_FIELDS mean the
#: same.
TILE_FIELDS: Mapping[str, tuple[int, int, int, bool]] = {
    "kind": (0, 0, 2, False),
    "activation": (0, 2, 2, False),
    "emit": (0, 9, 1, False),
    "emit_last": (0, 10, 1, False),
    "single_step": (0, 11, 1, False),
    "unfolded": (0, 12, 1, False),  # 0: a step's input half waits for the step before it
    "wide": (0, 13, 1, False),  # 16-bit outputs, in two store words
    "last_layer": (0, 14, 1, False),
    "last_apart": (0, 15, 1, False),  # the last input step lies at in_last_base
    "gate_major": (0, 16, 1, False),  # a row segment holds one gate of K neurons
    "gate_outer": (0, 17, 1, False),  # a gate's passes, both halves, before the next gate's
    "reverse": (0, 18, 1, False),  # from the last step to the first; one step: the last one
    "paired": (0, 19, 1, False),  # with the next layer, which goes backwards, in turn
    "last_hidden": (0, 20, 1, False),  # the last step goes to hidden_base instead
    "peephole": (0, 21, 1, False),  # of an LSTM; the hidden halves' biases are their weights
    "streams_last": (0, 22, 2, False),  # streams that take turns, less one; not with paired
    "add_stored": (0, 24, 1, False),  # add what lies at the output's place in the store
    "sum_shift": (0, 25, 1, False),  # halve that sum
    "units": (1, 0, 16, False),
    "out_stride": (1, 16, 16, False),  # store words from one step's outputs to the next
    "in_words": (2, 0, 16, False),
    "out_words": (2, 16, 16, False),
    "in_base": (3, 0, 20, False),
    "out_base": (4, 0, 20, False),
    "pair_parameters": (4, 20, 12, False),  # entries from one layer of a pair to the other
    "mask_base": (6, 20, 12, False),  # one word per pass, where columns are masked
    "hidden_base": (5, 0, 20, False),  # the last step's output, and the state between runs
    "in_last_base": (6, 0, 20, False),
    "weight_base": (7, 0, 20, False),  # input half, then hidden half, one word per issue
    "parameter_base_x": (8, 0, 16, False),
    "parameter_base_h": (8, 16, 16, False),
    "state_base": (9, 0, 10, False),
    "pre_shift": (9, 10, 5, False),  # 15 - f_pre
    "state_up": (9, 15, 4, False),  # 15 - f_state
    "out_shift": (9, 19, 6, False),
    "hard_sigmoid": (9, 25, 1, False),  # σ is the hard one
    "reset_first": (9, 26, 1, False),
    "cell_shift": (9, 27, 5, False),  # of the products of peepholes and state
    **_phases(),
}


def encode_tile_descriptor(fields: Mapping[str, int]) -> list[int]:
    """The descriptor's 32-bit words; the fields not named are zero.

    Raises ConfigurationError for an unknown field or a value that does not fit its width.
    """
    words = [0] * TILE_DESCRIPTOR_WORDS
    for name, value in fields.items():
        if name not in TILE_FIELDS:
            raise ConfigurationError(f"descriptor: unknown field {name!r}")
        word, low, width, _ = TILE_FIELDS[name]
        if not 0 <= value < 1 << width:
            raise ConfigurationError(
                f"descriptor: {name} = {value} is outside 0 to {(1 << width) - 1}; the layer is "
                f"too large for this field"
            )
        words[word] |= value << low
    return words
