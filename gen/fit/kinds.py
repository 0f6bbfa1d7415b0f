"""What the prediction of areas knows of each machine: memories, and what logic is linear in."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from sparnn.gen.machines.verilog import kept_verilog
from sparnn.gen.synth.memories import memories
from sparnn.hdl.common.numbers import ceil_div
from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.emit import TOP_MODULE
from sparnn.hdl.machine import MachineConfig
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.lane.lane_memory import LARGE_BITS
from sparnn.sim.aliases import FloatArray

from .structure import Held, is_plain, plain_memories

__all__ = ["LARGE_WORDS", "FittedKind", "kind_of"]

#: Words of one single-port RAM of iCE40 UP.
LARGE_WORDS = 16384
#: Sums beyond which one more multiplier is taken, and up to which one less.
_SUM_BITS, _OPERAND_BITS = 35, 18


class FittedKind(ABC):
    """One machine. Configurations are of its own class."""

    config: ClassVar[type[MachineConfig]]

    def memories(self, config: Any) -> Held:
        """(words, bits, copies) of every memory array."""
        return tuple(memories(kept_verilog(config), TOP_MODULE))

    @abstractmethod
    def logic(self, config: Any, small: int, product: float) -> tuple[FloatArray, FloatArray]:
        """What logic is linear in, and what multipliers are.

        Parameters
        ----------
        small: bits of memories that are LUT RAM. product: multipliers that a product takes.
        """

    def wide(self, config: Any) -> str:
        """What makes a machine's lanes another kind than those with one row and masks; "" if
        nothing does."""
        return ""

    def never_blocks(self, config: Any) -> tuple[int, int] | None:
        """Words and bits of memories that are no block RAM whatever their size."""
        return None

    def take_large(self, config: Any, held: list[tuple[int, int, int]]) -> int:
        """Single-port RAMs of the machine, whose memories leave the list."""
        return 0


class _Sparse(FittedKind):
    config = SparseConfig

    def memories(self, config: SparseConfig) -> Held:
        return plain_memories(config) if is_plain(config) else super().memories(config)

    def wide(self, config: SparseConfig) -> str:
        return "" if config.by_word else f"width = {config.width}, masks = {config.masks}"

    def take_large(self, config: SparseConfig, held: list[tuple[int, int, int]]) -> int:
        large = 0
        for words, bits in (
            (config.weight_depth, config.weight_entry_bits),
            (config.mask_depth, config.mask_entry_bits),
        ):
            if 0 < config.large_memory <= words:
                each = 1 << max(0, (LARGE_BITS // bits).bit_length() - 1)
                stored = (ceil_div(words, each), bits * each, config.lanes)
                held.remove(stored)
                large += ceil_div(stored[0], LARGE_WORDS) * ceil_div(stored[1], LARGE_BITS)
        return large * config.lanes

    def logic(
        self, config: SparseConfig, small: int, product: float
    ) -> tuple[FloatArray, FloatArray]:
        lanes, posts = config.lanes, config.post_units
        bits = config.weight_bits + config.lane_activation_bits
        more_rows = lanes * (config.width - 1)
        masks = (config.mask_depth, config.mask_entry_bits)
        read = [(config.weight_depth, config.weight_entry_bits), *[masks] * config.masks]
        # Behind banks and slices stands what chooses one of them; a whole copy's word is kept.
        chosen = sum(bits * (config.banks(words, bits) - 1) for words, bits in read)
        word = posts * config.lane_activation_bits
        logic = [
            1,
            lanes,
            lanes * bits,
            lanes * config.chunk,
            lanes * config.chunk * config.masks,
            lanes * config.chunk**2 * config.masks,  # sums over the bits before each
            lanes * (1 - config.masks),
            more_rows,
            more_rows * bits,
            posts,
            posts * config.activation_bits,
            posts * config.hard_sigmoid,
            posts * config.reset_first,
            posts * config.cell_functions,
            posts * config.delta,
            small,
            lanes * chosen,
            lanes * word * (1 - config.sliced_copy),
            small * config.sliced_copy,  # slices in LUTs are deeper, and take more for a bit
        ]
        # A multiplier per product; in a post unit two, and one for each part of a sum; one in a
        # serial one.
        parts = 1 + (config.sum_bits > _OPERAND_BITS)
        parts += ceil_div(max(0, config.sum_bits - _SUM_BITS), 17)
        each = 1 if config.compact else 2 + parts
        multipliers = [config.mac_units * product + each * posts]
        return np.array(logic, np.float64), np.array(multipliers, np.float64)


class _Dense(FittedKind):
    config = DenseConfig

    def never_blocks(self, config: DenseConfig) -> tuple[int, int]:
        # The lanes' copies of x and h are read without a register, which block RAMs have.
        return 2 * config.columns, config.activation_bits

    def logic(
        self, config: DenseConfig, small: int, product: float
    ) -> tuple[FloatArray, FloatArray]:
        rows = config.slices * config.width
        logic = [1, config.mac_units * config.sum_bits, rows, small]
        # One for each product, and in each row four, and one more for wide sums.
        each = 4 + ceil_div(max(0, config.sum_bits - _SUM_BITS), 17)
        multipliers = [config.mac_units * product, each * rows, 1]
        return np.array(logic, np.float64), np.array(multipliers, np.float64)


_KINDS: Mapping[str, FittedKind] = {one.config.MACHINE: one for one in (_Sparse(), _Dense())}


def kind_of(machine: str) -> FittedKind:
    """Of a machine by its name in files."""
    return _KINDS[machine]
