"""Design-time parameters of the sparse machine, and what follows from them."""

from dataclasses import dataclass
from typing import ClassVar

from sparnn.hdl.arithmetic.formats import FACTOR_BITS
from sparnn.hdl.common.numbers import clog2, is_power_of_two
from sparnn.hdl.host.protocol import COUNTER_WORDS, Counter
from sparnn.hdl.machine import MachineConfig, Target, require

from .descriptor import DELTA_FIELDS, DESCRIPTOR, MaskFlag

__all__ = ["MOST_DELTA_BITS", "SparseConfig"]

#: Activation bits of a machine with ``delta``: differences fit 16.
MOST_DELTA_BITS = 15


@dataclass(frozen=True, kw_only=True)
class SparseConfig(MachineConfig):
    """One sparse machine.

    Parameters
    ----------
    lanes: lanes N, 1-1024, each with a front end of its own; a multiple of ``post_units``.
    width: rows K that a lane works on at once, a block: as many multipliers behind one front end,
        and one mask for all of them, 1-16, a power of two, at most ``queue_depth``.
    masks: 1 has a mask for the weights of each block of rows; 0 has none, and every column of a row
        is a weight, which takes no memory of masks.
    post_units: clusters P, each with N / P lanes and one post unit; a power of two. Also the number
        of activations that one broadcast word carries.
    max_v: largest number of lanes that may split the columns of a row; a power of two that divides
        the lanes of a cluster.
    chunk: mask bits C that a lane reads at once; a power of two, 8-256, a multiple of ``sub_chunk``
        and of ``post_units``.
    sub_chunk: mask bits that the per-pair logic sees; a power of two, 4-32.
    weight_bits, activation_bits: 4-16 and 8-16.
    queue_depth: partial sums that a lane may hold, 2-64, rounded up to a power of two. With a
        ``width`` above 1 whole blocks of rows claim their places.
    columns: largest number of columns of one half that one lane holds, a multiple of ``chunk``.
    mask_depth: mask words per lane; of no meaning without ``masks``.
    weight_depth: words of ``width`` weights per lane: those of the columns in a block's mask.
    lut_memory: memories of a post unit, and activation masks of a lane, of at most so many words
        are asked to be LUTs instead of block RAM, 0-1024; above 0 the table of tanh is too. Only
        where LUTs can be memory (not iCE40).
    rows: largest number of rows (gate rows of one half of one layer) per post unit.
    parameter_depth: requantization entries per post unit, over all layers and both halves.
    state_depth: cell states per post unit, over all layers.
    store_depth: words of ``post_units`` activations in the sequence store.
    packed_store: 1 keeps of the store's sequences masks and non-zero values only; ``store_depth``
        is then a power of two.
    value_rows: rows of ``post_units`` values that a packed store has room for; ``dense_rows``: the
        first of them, which hold words whole: the states between runs, outputs of a single step.
    vector_words: words that a vector in a packed store has at least, a power of two; what it may
        cost to find a vector's values grows as it shrinks.
    program_depth: layer descriptors.
    threads: layers that the lanes may work on in turn, step by step, 1-2.
    delta: 1 sends the lanes differences from what was sent last and keeps the sums of rows
        (docs/numerics.md, "Deltas"); 0 sends activations as they are. Needs ``activation_bits`` of
        15 at most and ``compact`` of 0.
    reference_depth: with ``delta``, words of ``post_units`` references: of the inputs and, unless
        it is linear, the hidden state of each layer.
    sharing: 1 lets a lane without work take a neighbour's of the same row, for which each holds the
        other's weights and activations as well; needs ``max_v`` of 2 or more. 0 does not.
    counters: 1 counts what the lanes do with each cycle, for the host to read; 0 does not.
    hard_sigmoid: 1 has the hard σ beside σ and tanh; 0 refuses it.
    reset_first: 1 has the cells of GRUs that reset before the product; 0 refuses them.
    cell_functions: 1 has σ, ReLU and identity beside tanh behind the candidates of GRUs and LSTMs
        and the states of LSTMs; 0 refuses them.
    clip: 1 clips what σ and tanh read, where a layer says so; 0 refuses it.
    backwards: 1 has what layers that run from the last step to the first need, and sums of two
        layers; 0 refuses them. ``threads`` of 2 need it.
    compact: 1 has a post unit that works on a row at a time (docs/post.md, "Serial"), and no
        registers that only shorten the wires of large arrays: for few lanes in small FPGAs at low
        clocks. Needs ``post_units`` of 1, and ``reset_first``, ``cell_functions`` and ``clip``
        of 0.
    split_scales: 1 scales positive and negative weights of a row apart (MASR), by factors of 1 to 3
        beside its masks; 0 has one scale for both.
    large_memory: a lane's memories of weights and of masks that have so many entries or more are of
        one port and without initial values, as large memories are (SPRAM of iCE40 UP); 0: none.
    """

    MACHINE: ClassVar = "sparse"
    DESCRIPTOR: ClassVar = DESCRIPTOR
    POWERS: ClassVar = ("width", "post_units", "max_v", "chunk", "sub_chunk")
    RANGES: ClassVar = {
        "lanes": (1, 1024),
        "width": (1, 16),
        "masks": (0, 1),
        "post_units": (1, 64),
        "max_v": (1, 1024),
        "chunk": (8, 256),
        "sub_chunk": (4, 32),
        "weight_bits": (4, 16),
        "activation_bits": (8, 16),
        "queue_depth": (2, 64),
        "columns": (8, 1 << 14),
        "mask_depth": (2, 1 << 20),
        "weight_depth": (2, 1 << 20),
        "lut_memory": (0, 1024),
        "rows": (2, 1 << 16),
        "parameter_depth": (2, 1 << 20),
        "state_depth": (2, 1 << 16),
        "store_depth": (2, 1 << 20),
        "packed_store": (0, 1),
        "value_rows": (2, 1 << 20),
        "dense_rows": (1, 1 << 16),
        "vector_words": (1, 1 << 16),
        "program_depth": (1, 256),
        "threads": (1, 2),
        "delta": (0, 1),
        "reference_depth": (2, 1 << 20),
        "sharing": (0, 1),
        "counters": (0, 1),
        "hard_sigmoid": (0, 1),
        "reset_first": (0, 1),
        "cell_functions": (0, 1),
        "clip": (0, 1),
        "split_scales": (0, 1),
        "backwards": (0, 1),
        "compact": (0, 1),
        "large_memory": (0, 1 << 20),
    }

    lanes: int = 8
    width: int = 1
    masks: int = 1
    post_units: int = 1
    max_v: int = 8
    chunk: int = 32
    sub_chunk: int = 8
    weight_bits: int = 8
    activation_bits: int = 8
    queue_depth: int = 8
    columns: int = 512
    mask_depth: int = 1024
    weight_depth: int = 8192
    lut_memory: int = 0
    rows: int = 1024
    parameter_depth: int = 4096
    state_depth: int = 512
    store_depth: int = 4096
    packed_store: int = 0
    value_rows: int = 2048
    dense_rows: int = 64
    vector_words: int = 8
    program_depth: int = 16
    threads: int = 1
    delta: int = 0
    reference_depth: int = 512
    sharing: int = 0
    counters: int = 0
    hard_sigmoid: int = 0
    reset_first: int = 0
    cell_functions: int = 0
    clip: int = 0
    split_scales: int = 0
    backwards: int = 1
    compact: int = 0
    large_memory: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.lanes % self.post_units == 0,
            f"lanes = {self.lanes} is not a multiple of post_units = "
            f"{self.post_units}; change one of them",
        )
        require(
            self.cluster_lanes % self.max_v == 0,
            f"max_v = {self.max_v} does not divide the {self.cluster_lanes} "
            f"lanes of a cluster (lanes / post_units); lower max_v or change lanes",
        )
        require(
            not self.sharing or self.max_v >= 2,
            "sharing = 1 needs two lanes that split a row: raise max_v to 2 or "
            "more, or leave sharing out",
        )
        require(
            self.threads == 1 or self.backwards,
            "threads = 2 has the second direction of a layer beside the first; "
            "set backwards = 1, or threads = 1",
        )
        require(
            not self.compact or self.post_units == 1,
            f"compact = 1 leaves out the registers between clusters, the "
            f"machine has post_units = {self.post_units}; set compact = 0, or post_units = 1",
        )
        require(
            not self.compact or not self.reset_first,
            "compact = 1 has no cells of GRUs that reset before the product; "
            "set reset_first = 0, or compact = 0",
        )
        for name in ("cell_functions", "clip"):
            require(
                not (self.compact and getattr(self, name)),
                f"compact = 1 has one function of candidates and states, tanh, and no clip; set "
                f"{name} = 0, or compact = 0",
            )
        require(
            self.chunk % self.sub_chunk == 0 and self.chunk > self.sub_chunk,
            f"chunk = {self.chunk} must be at least twice sub_chunk = {self.sub_chunk}",
        )
        require(
            self.chunk % self.post_units == 0,
            f"chunk = {self.chunk} is not a multiple of post_units = "
            f"{self.post_units}; lower post_units or raise chunk",
        )
        require(
            self.columns % self.chunk == 0,
            f"columns = {self.columns} is not a multiple of chunk = {self.chunk}",
        )
        self._check_width()
        require(
            not self.delta or self.activation_bits <= MOST_DELTA_BITS,
            f"delta = 1 multiplies differences of a bit more than activations, the machine has "
            f"activation_bits = {self.activation_bits}; set activation_bits = {MOST_DELTA_BITS} or "
            f"less, or delta = 0",
        )
        require(
            not (self.delta and self.compact),
            "compact = 1 has no sums of rows from step to step; set delta = 0, or compact = 0",
        )
        if self.packed_store:
            self._check_packed_store()

    def _check_width(self) -> None:
        require(
            self.width <= self.queue_places,
            f"width = {self.width}: a lane's block of rows gives as many sums at once, and "
            f"queue_depth = {self.queue_depth} has no room for them; raise queue_depth to "
            f"{self.width} or more (twice that lets a lane go on meanwhile), or lower width",
        )
        for name in ("split_scales", "sharing"):
            apart = "width" if self.width > 1 else "masks"
            require(
                not getattr(self, name) or self.by_word,
                f"{name} = 1 is of lanes of one row with masks of its own, the machine has "
                f"{apart} = {getattr(self, apart)}; set {name} = 0, or {apart} = 1",
            )

    def _check_packed_store(self) -> None:
        for name in ("store_depth", "vector_words"):
            require(
                is_power_of_two(getattr(self, name)),
                f"{name} = {getattr(self, name)} is not a power of two, which "
                f"packed_store = 1 needs",
            )
        for name, most, what in (
            ("store_depth", 1 << 19, "the most with packed_store = 1"),
            ("dense_rows", self.store_depth, "store_depth"),
            ("dense_rows", self.value_rows - 1, "value_rows - 1"),
            ("vector_words", self.store_depth // 2, "store_depth / 2"),
        ):
            require(
                getattr(self, name) <= most,
                f"{name} = {getattr(self, name)} is more than {most}, {what}; change one of them",
            )

    @property
    def unused(self) -> frozenset[str]:
        """Without ``delta``: what belongs to it."""
        return frozenset() if self.delta else frozenset({"delta", "reference_depth", *DELTA_FIELDS})

    # Structure -------------------------------------------------------------------------------

    @property
    def cluster_lanes(self) -> int:
        """Lanes S that share one post unit."""
        return self.lanes // self.post_units

    @property
    def sub_chunks(self) -> int:
        """Sub-masks per chunk."""
        return self.chunk // self.sub_chunk

    @property
    def column_chunks(self) -> int:
        """Chunks in one half's local activation copy."""
        return self.columns // self.chunk

    @property
    def local_words(self) -> int:
        """Broadcast words in one half's local activation copy."""
        return self.columns // self.post_units

    @property
    def queue_places(self) -> int:
        """Partial sums that a lane's queue holds."""
        return 1 << clog2(self.queue_depth)

    @property
    def by_word(self) -> bool:
        """Whether rows are dealt to the groups neuron by neuron, or else block by block."""
        return self.width == 1 and bool(self.masks)

    def dealt_rows(self, gates: int) -> int:
        """Rows of a post unit that go to a group at once, of a layer with so many gates."""
        return gates if self.by_word else self.width

    @property
    def queue_blocks(self) -> int:
        """Blocks of rows whose sums a lane's queue holds."""
        return self.queue_places // self.width

    @property
    def thread_bits(self) -> int:
        """Width of a thread's number."""
        return clog2(self.threads)

    def memories(self) -> dict[Target, tuple[int, int]]:
        """How many there are of each kind, and the entries of each one."""
        found = {
            Target.PROGRAM: (1, self.program_depth * DESCRIPTOR.words),
            **({Target.MASK: (self.lanes, self.mask_depth)} if self.masks else {}),
            Target.WEIGHT: (self.lanes, self.weight_depth),
            Target.PARAMETER: (self.post_units, self.parameter_depth),
            Target.STATE: (self.post_units, self.state_depth),
            Target.STORE: (1, self.store_words),
        }
        if self.counters:
            found[Target.COUNTER] = (self.post_units, len(Counter) * COUNTER_WORDS)
        return found

    # Widths ----------------------------------------------------------------------------------

    @property
    def factor_bits(self) -> int:
        """The two factors of a row, positive and negative, side by side; 0: there are none."""
        return 2 * FACTOR_BITS * self.split_scales

    @property
    def lane_activation_bits(self) -> int:
        """An activation as a lane sees it: a difference has a bit more."""
        return self.activation_bits + self.delta

    @property
    def lane_entry_bits(self) -> int:
        """A broadcast word, and a word of a lane's copy."""
        return self.post_units * self.lane_activation_bits

    @property
    def operand_bits(self) -> int:
        """A weight as it is multiplied: times its factor, of at most 3."""
        return self.weight_bits + FACTOR_BITS * self.split_scales

    @property
    def lane_sum_bits(self) -> int:
        """A lane's accumulator: cannot overflow, by the number of columns it can hold."""
        return self.operand_bits + self.lane_activation_bits - 1 + clog2(self.columns)

    @property
    def sum_bits(self) -> int:
        """A group's sum over at most ``max_v`` lanes."""
        return self.lane_sum_bits + clog2(self.max_v)

    @property
    def total_bits(self) -> int:
        """What is requantized: that sum, or with ``delta`` the one over the references, which are
        as wide as activations."""
        return self.sum_bits - self.delta

    @property
    def weight_entry_bits(self) -> int:
        """A word of weights, the first row of the block lowest."""
        return self.width * self.weight_bits

    def memory_style(self, words: int) -> dict[str, str]:
        """Attributes of a memory of so many words: what it should be made of."""
        return {"ram_style": "distributed"} if words <= self.lut_memory else {}

    @property
    def link_words(self) -> int:
        """32-bit words that the host's link carries at once."""
        return 1

    @property
    def mac_units(self) -> int:
        """Multipliers."""
        return self.lanes * self.width

    @property
    def mask_entry_bits(self) -> int:
        """A mask word: ``chunk`` bits, then the flags of
        :class:`~sparnn.hdl.sparse.descriptor.MaskFlag`, then the row's factors, if any. Without
        ``masks``: 0."""
        return (self.chunk + len(MaskFlag) + self.factor_bits) * self.masks

    @property
    def packed_rows(self) -> int:
        """Rows of non-zero values that the sequences in a packed store may take."""
        return (self.value_rows - self.dense_rows) * self.packed_store

    @property
    def store_words(self) -> int:
        """Addresses of the store: its words, and behind those of a packed store its whole rows."""
        return self.store_depth + self.dense_rows * self.packed_store

    @property
    def store_address_bits(self) -> int:
        return clog2(self.store_words) if not self.packed_store else clog2(self.store_depth) + 1

    @property
    def store_latency(self) -> int:
        """Cycles to read a word of the store."""
        return 5 if self.packed_store else 3

    @property
    def v_log2_max(self) -> int:
        return clog2(self.max_v)
