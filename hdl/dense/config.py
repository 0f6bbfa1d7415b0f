"""Design-time parameters of the dense machine, and what follows from them."""

from dataclasses import dataclass
from typing import ClassVar

from sparnn.hdl.common.numbers import ceil_div, clog2
from sparnn.hdl.machine import MachineConfig, Target, is_power_of_two, require
from sparnn.hdl.refill.sections import SECTION

from .descriptor import DESCRIPTOR, STREAM_FIELDS

__all__ = ["PASS_LENGTH_BITS", "DenseConfig"]

#: Bits of a pass's cycles less one.
PASS_LENGTH_BITS = 12


@dataclass(frozen=True, kw_only=True)
class DenseConfig(MachineConfig):
    """One dense machine.

    Parameters
    ----------
    lanes: vector lanes N; each multiplies one activation by ``width`` weights in a cycle.
    width: K, rows that a lane works on: 1, 2, or a multiple of 4 up to 64.
    banks: groups G into which the lanes are divided for good, a power of two. A tile joins 1, 2,
        4, … G banks in the columns and works on G, G/2, … 1 row segments: its V is N / G, 2 N / G,
        … N lanes.
    slices: post slices S, a power of two, at most ``banks``: each takes one row segment per cycle.
    weight_bits, activation_bits: 4-16 and 8-16.
    columns: largest number of columns of one half that one lane holds where V is least.
    weight_depth: words of K weights per lane.
    parameter_depth: requantization entries per row of a slice, over all layers and both halves.
    state_depth: cell states per cell unit, over all layers and streams.
    streams: most independent sequences, 1-4, that take turns on the same weights.
    gate_depth: row segments of a slice whose gates can wait for one another, which the row order
        gate by gate needs (the schedules sequential and batch; GRU, RNN and linear layers without
        empty rows; any layer where ``width`` < 4). 0: that order is not built.
    mask_depth: passes of a step, over all layers, whose columns are masked: K-row columns without a
        weight are skipped. 0: there are no masks, and nothing of them is built.
    store_depth: words of :attr:`word` activations in the sequence store.
    program_depth: layer descriptors.
    tree_radix: operands that one pipeline stage of the reduction tree adds, a power of two.
    operand_stage: 1: the activation is registered before it is multiplied, for a shorter path and
        a tail that is one cycle longer. Not with masks.
    post_stages: 1 or 2 registers for each stage of the post slices; 2: a faster clock, and a tail
        that is 14 cycles longer, which layers hide whose input half takes longer than the tail.
    extra_stages: registers added between the cell's output and the lanes, to study deep pipelines.
    link_words: 32-bit words that the host's link carries at once, a power of two but 2.
    hard_sigmoid: 1 has the hard σ beside σ and tanh; 0 refuses it.
    reset_first: 1 has the cells of GRUs that reset before the product; 0 refuses them.
    sums: 1 adds the outputs of two directions, with a second read port of the store (on FPGAs block
        RAM twice); 0 refuses them.
    peepholes: 1 has the rows and cells of LSTMs with peepholes, one stage more for all layers and
        two more for those; 0 refuses them. Needs the gates side by side: ``width`` of 4 or more.
    stream_bits: bits of a word of external memory, 64-512, from which the machine reads weights
        itself: all of a network that fits ``weight_depth``, or a layer while the one before runs,
        where any two that follow one another fit (docs/external-memory.md). 0: weights are loaded,
        and nothing of it is built. Not with masks.
    parity: 1 gives each word of the memories of weights, masks and cell states a bit of parity, and
        the machine a port that tells where one was read that does not match it.
    """

    MACHINE: ClassVar = "dense"
    DESCRIPTOR: ClassVar = DESCRIPTOR
    POWERS: ClassVar = ("banks", "slices", "link_words", "tree_radix")
    RANGES: ClassVar = {
        "lanes": (1, 4096),
        "width": (1, 64),
        "banks": (1, 32),
        "slices": (1, 32),
        "weight_bits": (4, 16),
        "activation_bits": (8, 16),
        "columns": (1, 1 << 12),
        "weight_depth": (2, 1 << 20),
        "parameter_depth": (2, 1 << 16),
        "state_depth": (2, 1 << 16),
        "streams": (1, 4),
        "gate_depth": (0, 1 << 14),
        "mask_depth": (0, 1 << 12),
        "store_depth": (2, 1 << 20),
        "program_depth": (1, 256),
        "tree_radix": (2, 16),
        "operand_stage": (0, 1),
        "post_stages": (1, 2),
        "extra_stages": (0, 1024),
        "link_words": (1, 64),
        "hard_sigmoid": (0, 1),
        "reset_first": (0, 1),
        "sums": (0, 1),
        "peepholes": (0, 1),
        "stream_bits": (0, 512),
        "parity": (0, 1),
    }

    lanes: int = 8
    width: int = 8
    banks: int = 2
    slices: int = 1
    weight_bits: int = 8
    activation_bits: int = 8
    columns: int = 64
    weight_depth: int = 4096
    parameter_depth: int = 512
    state_depth: int = 256
    streams: int = 1
    gate_depth: int = 0
    mask_depth: int = 0
    store_depth: int = 4096
    program_depth: int = 16
    tree_radix: int = 4
    operand_stage: int = 0
    post_stages: int = 1
    extra_stages: int = 0
    link_words: int = 1
    hard_sigmoid: int = 0
    reset_first: int = 0
    sums: int = 0
    peepholes: int = 0
    stream_bits: int = 0
    parity: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.mask_depth != 1,
            "mask_depth = 1: the masks of a step take an entry for each pass, and it has two or "
            "more; use 0 for a machine without masks, or 2 and more",
        )
        require(
            not self.mask_depth or not self.operand_stage,
            "operand_stage = 1 with masks: the column is picked in that cycle; "
            "use operand_stage = 0",
        )
        require(
            not self.mask_depth or self.lanes <= 4095,
            f"lanes = {self.lanes} with masks: the index of a memory that is loaded has 12 bits, "
            f"and one more memory holds the lengths of passes; use at most 4095, or mask_depth = 0",
        )
        require(
            self.streams <= 2 or self.columns % 4 == 0,
            f"columns = {self.columns} is not a multiple of 4 with streams = "
            f"{self.streams}, whose hidden states share the copies; use "
            f"{self.columns // 4 * 4 + 4}",
        )
        require(
            self.link_words != 2,
            "link_words = 2: an entry of parameters takes two words and a header another beat; "
            "use 1 or 4",
        )
        require(
            self.width % 4 == 0 or self.width <= 2,
            f"width = {self.width} is neither 1, 2 nor a multiple of 4, the "
            f"gates of an LSTM unit; use {self.width // 4 * 4 + 4}",
        )
        require(
            self.width >= 4 or self.gate_depth,
            f"width = {self.width} and gate_depth = 0: a segment of fewer than "
            f"4 rows holds one gate at a time, and gates must be able to wait for one another; "
            f"set gate_depth to the units of the largest layer divided by {self.width}",
        )
        require(
            not self.peepholes or self.width >= 4,
            f"peepholes = 1 with width = {self.width}: the gates of a neuron "
            f"have to be side by side; use a width of 4 or more",
        )
        require(
            self.lanes % self.banks == 0,
            f"lanes = {self.lanes} is not a multiple of banks = {self.banks}, into which they are "
            f"divided; change one of them",
        )
        require(
            self.slices <= self.banks,
            f"slices = {self.slices} exceeds banks = {self.banks}; a slice "
            f"takes the row segment of one bank",
        )
        require(
            self.bank_lanes % self.word == 0,
            f"lanes / banks = {self.bank_lanes} is not a multiple of the "
            f"broadcast word, slices * width / 4 = {self.word}; use fewer banks or slices, or "
            f"more lanes",
        )
        if self.stream_bits:
            self._check_stream()

    def _check_stream(self) -> None:
        bits = self.stream_bits
        require(
            is_power_of_two(bits) and bits >= 64,
            f"stream_bits = {bits} is not 0, 64, 128, 256 or 512: the first word of a section says "
            f"where it goes and how long it is; use {max(64, 1 << bits.bit_length() - 1)}",
        )
        require(
            not self.mask_depth,
            f"mask_depth = {self.mask_depth} with stream_bits = {bits}: masks would have to come "
            f"with their weights, which is not built; set mask_depth = 0, or stream_bits = 0",
        )

    @property
    def unused(self) -> frozenset[str]:
        """What belongs to options that the machine has not, and what means nothing to images."""
        streams = () if self.stream_bits else ("stream_bits", *STREAM_FIELDS)
        return frozenset({"parity", *streams})

    # Structure -------------------------------------------------------------------------------

    @property
    def mac_units(self) -> int:
        """Multipliers."""
        return self.lanes * self.width

    @property
    def bank_lanes(self) -> int:
        """Lanes of a bank: the least V."""
        return self.lanes // self.banks

    @property
    def cells(self) -> int:
        """Cell units of a slice: neurons of a row segment whose gates lie side by side."""
        return max(1, self.width // 4)

    @property
    def cell_rows(self) -> int:
        """Row units that share a cell unit; gate by gate, they hold as many neurons."""
        return self.width // self.cells

    @property
    def word(self) -> int:
        """Activations of one broadcast word: the outputs of all slices."""
        return self.slices * self.cells

    @property
    def post_units(self) -> int:
        """Cell units; position s of a layer is computed in cell unit s mod post_units."""
        return self.word

    def memories(self) -> dict[Target, tuple[int, int]]:
        """How many there are of each kind, and the entries of each one."""
        found = {
            Target.PROGRAM: (1, self.program_depth * DESCRIPTOR.words),
            **({} if self.stream_bits else {Target.WEIGHT: (self.lanes, self.weight_depth)}),
            Target.PARAMETER: (self.slices * self.width, self.parameter_depth),
            Target.STATE: (self.word, self.state_depth),
            Target.STORE: (1, self.store_depth),
        }
        if self.mask_depth:  # the masks of each lane, then the lengths of the passes
            found[Target.MASK] = (self.lanes + 1, self.mask_depth)
        if self.stream_bits:
            found[Target.SECTION] = (1, self.program_depth)
        return found

    def entry_bits(self, target: Target) -> int:
        return SECTION.size if target == Target.SECTION else super().entry_bits(target)

    @property
    def words_per_column(self) -> int:
        """Broadcast words that fill one column of every lane of a bank."""
        return self.bank_lanes // self.word

    @property
    def turn_bits(self) -> int:
        """Of the number of a layer or stream among those that take turns; a copy of h has room for
        as many vectors as it counts."""
        return 2 if self.streams > 2 else 1

    @property
    def banks_log2(self) -> int:
        return clog2(self.banks)

    # Widths ----------------------------------------------------------------------------------

    @property
    def product_bits(self) -> int:
        """Weights are symmetric, so no product needs the last bit."""
        return self.weight_bits + self.activation_bits - 1

    @property
    def sum_bits(self) -> int:
        """An exact row sum: cannot overflow, by the number of columns the lanes can hold."""
        return self.product_bits + clog2(self.columns * self.bank_lanes)

    @property
    def weight_entry_bits(self) -> int:
        """A lane's weight word: row 0 of the segment in the least significant bits."""
        return self.width * self.weight_bits

    @property
    def weight_slot_bits(self) -> int:
        """What a lane's weight word takes in external memory: a power of two."""
        return 1 << clog2(self.weight_entry_bits)

    @property
    def lanes_at_once(self) -> int:
        """Lanes whose weight words one word of external memory holds; 1 where it takes several."""
        return max(1, self.stream_bits // self.weight_slot_bits)

    @property
    def words_per_slot(self) -> int:
        """Words of external memory for a lane's weight word; 1 where they hold several."""
        return max(1, self.weight_slot_bits // self.stream_bits)

    @property
    def mask_entry_bits(self) -> int:
        """A mask word, or a pass's cycles less one."""
        return max(self.columns, PASS_LENGTH_BITS)

    # Pipeline: docs/dense.md has the stage by stage list -------------------------------

    @property
    def tree_stages(self) -> int:
        """Pipeline stages of a bank's adder tree, the accumulator included."""
        stages, left = 0, self.bank_lanes
        while left > 1:
            left = ceil_div(left, self.tree_radix)
            stages += 1
        return max(1, stages)

    @property
    def issue_to_operand(self) -> int:
        """Cycles from a pass's last issue to its sums in the post slices' operand registers."""
        return 4 + self.tree_stages + 1

    @property
    def row_latency(self) -> int:
        """Cycles from the operand register to the gate values: requantization in three stages, one
        of peepholes, σ in three."""
        return self.post_stages * (6 + self.peepholes)

    def post_latency(self, gru: bool = False, peephole: bool = False) -> int:
        """Cycles from the operand register to the output register, the broadcast bus."""
        return self.row_latency + self.post_stages * (8 + gru + 2 * peephole) + self.extra_stages

    def tail(self, gru: bool = False, peephole: bool = False) -> int:
        """Cycles from a pass's last issue to the first issue that can use what it makes; one less
        are idle between them.

        The word is in the lane's memory one cycle after it was on the bus.
        """
        after = self.post_latency(gru, peephole) + 1
        return self.issue_to_operand + after - self.issue_to_read

    @property
    def issue_to_read(self) -> int:
        """Cycles by which the issue precedes the reading of an activation in the lane."""
        return 3 - self.operand_stage
