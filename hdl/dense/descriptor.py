"""Layer descriptors of the dense machine."""

from sparnn.hdl.descriptor import Descriptor, Field

__all__ = ["DESCRIPTOR", "HALVES", "PHASES", "STREAM_FIELDS", "phase_field"]

#: Runs of equal passes in each half: a tile shape and how many passes it makes.
PHASES = 3
HALVES = ("x", "h")
#: Fields that only a machine reads whose weights come from external memory.
STREAM_FIELDS = ("swapped",)


def phase_field(half: str, phase: int, part: str) -> str:
    """Name of the descriptor field of one phase: ``groups_log2``, ``length_last`` or ``passes``."""
    return f"{half}{phase}_{part}"


def _phases() -> dict[str, Field]:
    fields = {}
    for half, first in zip(HALVES, (10, 13), strict=True):
        for phase in range(PHASES):
            word = first + phase
            # Row segments side by side, cycles of one pass less one, passes (0: no such phase).
            fields[phase_field(half, phase, "groups_log2")] = Field(word, 0, 4)
            fields[phase_field(half, phase, "length_last")] = Field(word, 4, 12)
            fields[phase_field(half, phase, "passes")] = Field(word, 16, 14)
    return fields


#: ``wide`` outputs take two store words here. ``weight_base``: of the input half, then the hidden
#: half, one word per issue.
DESCRIPTOR = Descriptor(
    {
        "last_apart": Field(0, 15, 1),  # the last input step lies at in_last_base
        "gate_major": Field(0, 16, 1),  # a row segment holds one gate of K neurons
        "gate_outer": Field(0, 17, 1),  # a gate's passes, both halves, before the next gate's
        "reverse": Field(0, 18, 1),  # from the last step to the first; one step: the last one
        "paired": Field(0, 19, 1),  # with the next layer, which goes backwards, in turn
        "last_hidden": Field(0, 20, 1),  # the last step goes to hidden_base instead
        "peephole": Field(0, 21, 1),  # of an LSTM; the hidden halves' biases are their weights
        "streams_last": Field(0, 22, 2),  # streams that take turns, less one; not with paired
        "add_stored": Field(0, 24, 1),  # add what lies at the output's place in the store
        "sum_shift": Field(0, 25, 1),  # halve that sum
        "swapped": Field(0, 26, 1),  # its weights make room for the next ones once it has begun
        "out_stride": Field(1, 16, 16),  # store words from one step's outputs to the next
        "pair_parameters": Field(4, 20, 12),  # entries from one layer of a pair to the other
        "mask_base": Field(6, 20, 12),  # one word per pass, where columns are masked
        "in_last_base": Field(6, 0, 20),
        "parameter_base_x": Field(8, 0, 16),
        "parameter_base_h": Field(8, 16, 16),
        "state_base": Field(9, 0, 10),
        "pre_up": Field(9, 10, 5),  # 15 - f_pre
        "state_up": Field(9, 15, 4),  # 15 - f_state
        "out_shift": Field(9, 19, 6),
        "hard_sigmoid": Field(9, 25, 1),  # σ is the hard one
        "reset_first": Field(9, 26, 1),
        "cell_shift": Field(9, 27, 5),  # of the products of peepholes and state
        **_phases(),
    }
)
