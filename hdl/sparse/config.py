"""One sparse machine: what its parameters have to keep, and what follows from them."""

from dataclasses import dataclass

from sparnn.hdl.arithmetic.formats import FACTOR_BITS
from sparnn.hdl.common.banked_memory import bank_count
from sparnn.hdl.common.numbers import clog2, is_power_of_two
from sparnn.hdl.host.protocol import COUNTER_WORDS, Counter
from sparnn.hdl.machine import Target, require
from sparnn.hdl.refill.sections import SECTION

from .descriptor import (
    BASE_FIELDS,
    DELTA_FIELDS,
    DESCRIPTOR,
    GATE_FIELDS,
    PEEPHOLE_FIELDS,
    RING_FIELDS,
    MaskFlag,
)
from .parameters import SparseParameters

__all__ = [
    "LEAST_BANK_BYTES",
    "MOST_DELTA_BITS",
    "RING_DELAY",
    "TAG_BITS",
    "TAG_KIND_BITS",
    "SparseConfig",
]

#: Activation bits of a machine with ``delta``: differences fit 16.
MOST_DELTA_BITS = 15

#: Words of external memory that a lane's ring holds at least.
LEAST_RING_WORDS = 64

#: Bytes of the banks of a lane's memories: a few words of external memory at least.
LEAST_BANK_BYTES = 256

#: A tag says to which lane, ring and how many words of external memory go.
TAG_BITS, TAG_KIND_BITS = 16, 2

#: Cycles from a word's sending until its lane's room is known without it.
RING_DELAY = 8


@dataclass(frozen=True, kw_only=True)
class SparseConfig(SparseParameters):
    """One sparse machine, of the parameters of
    :class:`~sparnn.hdl.sparse.parameters.SparseParameters`.

    Raises
    ------
    ConfigurationError: there is no such machine; which parameter to change.
    """

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
            not self.gate_functions or self.cell_functions,
            "gate_functions = 1 takes the functions of cell_functions, which is 0; set "
            "cell_functions = 1, or gate_functions = 0",
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
        self._check_banks()
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

    def _check_banks(self) -> None:
        require(
            not self.bank_bytes or self.bank_bytes >= LEAST_BANK_BYTES,
            f"bank_bytes = {self.bank_bytes} makes banks of a few words; use {LEAST_BANK_BYTES} or "
            "more, or 0 for whole memories",
        )
        require(
            not (self.bank_bytes and self.large_memory),
            "bank_bytes divides memories into small ones, large_memory puts them into large ones; "
            "set one of them to 0",
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
        found: set[str] = {"parity", "bank_bytes", "sliced_copy"}
        if not self.delta:
            found |= {"delta", "reference_depth", *DELTA_FIELDS}
        if not self.peepholes:
            found |= {"peepholes", *PEEPHOLE_FIELDS}
        if not self.gate_functions:
            found |= {"gate_functions", *GATE_FIELDS}
        found |= {*BASE_FIELDS} if self.stream_bits else {"stream_bits", *RING_FIELDS}
        return frozenset(found)

    # Structure -------------------------------------------------------------------------------

    @property
    def cluster_lanes(self) -> int:
        """Lanes S that share one post unit."""
        return self.lanes // self.post_units

    def banks(self, words: int, bits: int) -> int:
        """Banks of a lane's memory of weights or masks, a power of two; 1 where it is whole."""
        return bank_count(words, bits, self.bank_bytes) if self.bank_bytes else 1

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
        if self.delta:
            found[Target.REFERENCE] = (1, self.reference_depth)
            found[Target.TOTAL] = (self.post_units, self.parameter_depth)
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
        own = {
            Target.SECTION: SECTION.size,
            Target.REFERENCE: self.store_entry_bits,
            Target.TOTAL: self.total_bits,
        }
        return own[target] if target in own else super().entry_bits(target)

    @property
    def read_bits(self) -> int:
        return max(super().read_bits, self.total_bits if self.delta else 0)

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
