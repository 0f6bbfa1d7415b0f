"""Design-time parameters of the sparse machine, and what follows from them."""

from dataclasses import dataclass
from typing import ClassVar

from sparnn.hdl.arithmetic.formats import FACTOR_BITS
from sparnn.hdl.common.numbers import clog2, is_power_of_two
from sparnn.hdl.host.protocol import COUNTER_WORDS, Counter
from sparnn.hdl.machine import MachineConfig, Target, require

from .descriptor import (
    BASE_FIELDS,
    DELTA_FIELDS,
    DESCRIPTOR,
    PEEPHOLE_FIELDS,
    RING_FIELDS,
    SECTION,
    MaskFlag,
)

__all__ = ["MOST_DELTA_BITS", "RING_DELAY", "TAG_BITS", "TAG_KIND_BITS", "SparseConfig"]

#: Activation bits of a machine with ``delta``: differences fit 16.
MOST_DELTA_BITS = 15

#: Words of external memory that a lane's ring holds at least.
LEAST_RING_WORDS = 64

#: A tag says to which lane, ring and how many words of external memory go.
TAG_BITS, TAG_KIND_BITS = 16, 2

#: Cycles from a word's sending until its lane's room is known without it.
RING_DELAY = 8


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
    peepholes: 1 has what LSTMs with peepholes need; 0 refuses them.
    backwards: 1 has what layers that run from the last step to the first need, and sums of two
        layers; 0 refuses them. ``threads`` of 2 need it.
    compact: 1 has a post unit that works on a row at a time (docs/post.md, "Serial"), and no
        registers that only shorten the wires of large arrays: for few lanes in small FPGAs at low
        clocks. Needs ``post_units`` of 1, and ``reset_first``, ``cell_functions``, ``clip`` and
        ``peepholes`` of 0.
    split_scales: 1 scales positive and negative weights of a row apart (MASR), by factors of 1 to 3
        beside its masks; 0 has one scale for both.
    stream_bits: bits of a word of external memory, 32-512, from which the machine reads masks and
        weights by itself: the lanes' memories are rings that are refilled while it runs, and
        ``mask_depth`` and ``weight_depth`` their sizes, powers of two. 0: the host loads them.
    parity: 1 gives each word of the memories of weights, masks and cell states a bit of parity, and
        the machine a port that tells of words that do not match theirs; 0 does not. Free where
        words fill nine-bit bytes of block RAM (weights of 8 bits, states; masks of ``chunk`` + 4
        bits are one bit too wide for that at a ``chunk`` of 32). Not with ``large_memory`` and
        ``compact``.
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
        "peepholes": (0, 1),
        "split_scales": (0, 1),
        "backwards": (0, 1),
        "compact": (0, 1),
        "stream_bits": (0, 512),
        "parity": (0, 1),
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
    peepholes: int = 0
    split_scales: int = 0
    backwards: int = 1
    compact: int = 0
    stream_bits: int = 0
    parity: int = 0
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
        for name in ("cell_functions", "clip", "peepholes"):
            require(
                not (self.compact and getattr(self, name)),
                f"compact = 1 has one function of candidates and states, tanh, no clip and no "
                f"peepholes; set {name} = 0, or compact = 0",
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
            not (self.parity and self.large_memory),
            "parity = 1 needs memories that begin with zeros, which large ones do not; set parity "
            "= 0, or large_memory = 0",
        )
        require(
            not (self.parity and self.compact),
            "compact = 1 has its states among other words, without parity; set parity = 0, or "
            "compact = 0",
        )
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
        if self.stream_bits:
            self._check_stream()

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

    def _check_stream(self) -> None:
        bits = self.stream_bits
        require(
            is_power_of_two(bits) and bits >= 32,
            f"stream_bits = {bits} is not 0, 32, 64, 128, 256 or 512; use "
            f"{max(32, 1 << bits.bit_length() - 1)}",
        )
        for name in ("sharing", "split_scales", "large_memory", "compact"):
            require(
                not getattr(self, name),
                f"stream_bits = {bits}: lanes whose weights come from external memory are not "
                f"built with {name}; set {name} = 0, or stream_bits = 0",
            )
        require(
            self.weight_entry_bits <= bits,
            f"stream_bits = {bits} has no room for the {self.width} weights of {self.weight_bits} "
            f"bits that a lane reads at once; raise stream_bits to "
            f"{1 << clog2(self.weight_entry_bits)}, or lower width",
        )
        depths = [("weight_depth", self.weight_slots)]
        if self.masks:
            require(
                self.chunk <= bits <= 8 * self.chunk,
                f"stream_bits = {bits} is not 1 to 8 times chunk = {self.chunk}; use stream_bits "
                f"= {min(max(bits, self.chunk), 8 * self.chunk)}, or change chunk",
            )
            depths.append(("mask_depth", self.mask_slots))
        for name, slots in depths:
            depth, least = getattr(self, name), slots * LEAST_RING_WORDS
            require(
                is_power_of_two(depth) and depth >= least,
                f"{name} = {depth}: a ring that is refilled from external memory has a power of "
                f"two of entries, here {least} or more; use {max(least, 1 << clog2(depth))}",
            )

    @property
    def unused(self) -> frozenset[str]:
        """What belongs to options that the machine has not."""
        found: set[str] = {"parity"}
        if not self.delta:
            found |= {"delta", "reference_depth", *DELTA_FIELDS}
        if not self.peepholes:
            found |= {"peepholes", *PEEPHOLE_FIELDS}
        found |= {*BASE_FIELDS} if self.stream_bits else {"stream_bits", *RING_FIELDS}
        return frozenset(found)

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
            **({Target.MASK: (self.lanes, self.mask_depth)} if self.loads_masks else {}),
            **({} if self.stream_bits else {Target.WEIGHT: (self.lanes, self.weight_depth)}),
            Target.PARAMETER: (self.post_units, self.parameter_depth),
            Target.STATE: (self.post_units, self.state_depth),
            Target.STORE: (1, self.store_words),
        }
        if self.stream_bits:
            found[Target.SECTION] = (1, self.program_depth)
        if self.counters:
            found[Target.COUNTER] = (self.post_units, len(Counter) * COUNTER_WORDS)
        return found

    @property
    def loads_masks(self) -> bool:
        """Whether the host loads masks."""
        return bool(self.masks) and not self.stream_bits

    # Rings that are refilled from external memory --------------------------------------------

    @property
    def weight_slots(self) -> int:
        """Entries of weights in a word of external memory, 1 without: a power of two, so that the
        address of an entry is that of its word and its place in it."""
        if not self.stream_bits:
            return 1
        return 1 << (self.stream_bits // self.weight_entry_bits).bit_length() - 1

    @property
    def mask_slots(self) -> int:
        """Masks of weights in a word of external memory."""
        return self.stream_bits // self.chunk

    @property
    def weight_words(self) -> int:
        """Words of external memory in a lane's ring of weights."""
        return self.weight_depth // self.weight_slots

    @property
    def mask_words(self) -> int:
        """The same of masks."""
        return self.mask_depth // self.mask_slots

    @property
    def block_words(self) -> int:
        """Words that go to one lane at a stretch, at most."""
        least = min([self.weight_words, *([self.mask_words] if self.masks else [])])
        counted = 1 << TAG_BITS - TAG_KIND_BITS - clog2(self.lanes)
        return min(64, least // 16, counted // 2)

    @property
    def ring_reserve(self) -> int:
        """Words that a ring has free when a block is sent to it: for that one, and for words that
        are on their way."""
        return self.block_words + RING_DELAY

    @property
    def position_bits(self) -> int:
        """Where a weight lies: in a ring a bit more than its address, so that full and empty
        differ."""
        return clog2(self.weight_depth) + bool(self.stream_bits)

    def entry_bits(self, target: Target) -> int:
        """Width of one entry of a memory."""
        return SECTION.size if target == Target.SECTION else super().entry_bits(target)

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
