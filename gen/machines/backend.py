"""What the compiler, the commands and the benches ask of a machine, whichever it is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from amaranth.lib import wiring

from sparnn.gen.errors import SparnnError
from sparnn.gen.quantize.activity import BoolArray
from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.machine import MachineConfig
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.network.network import IntegerNetwork

from .dense import blocks as dense_blocks
from .dense.place import place as place_dense
from .dense.program import DensePlacement
from .dense.program import memory_needs as dense_needs
from .shared.placement import FITTED_STEPS, Outputs, Placement
from .sparse import blocks as sparse_blocks
from .sparse.place import least_machine
from .sparse.place import place as place_sparse
from .sparse.program import SparsePlacement
from .sparse.program import memory_needs as sparse_needs

__all__ = ["BACKENDS", "Backend", "backend"]

Parts = Sequence[tuple[wiring.Component, str]]


class Backend(ABC):
    """One machine, for the compiler.

    Members
    -------
    config: the class of its configurations.
    blocks: name -> what can be synthesized alone.
    """

    config: ClassVar[type[MachineConfig]]
    blocks: ClassVar[Sequence[str]]

    @abstractmethod
    def place(
        self,
        network: IntegerNetwork,
        config: Any,
        outputs: Outputs = (),
        *,
        fit: bool = False,
        steps: int = FITTED_STEPS,
        activity: Sequence[BoolArray] | None = None,
        streams: int = 1,
        like: Any = None,
    ) -> Placement:
        """Place a network: see :func:`~sparnn.gen.machines.sparse.place.place` and
        :func:`~sparnn.gen.machines.dense.place.place`.

        Parameters
        ----------
        like: a placement of a network of the same shape, whose rows and columns lie where this
            one's shall, which saves looking for a layout; of no meaning on a dense machine.
        """

    @abstractmethod
    def skips(self, config: Any) -> tuple[bool, bool]:
        """Whether weights that are zero, and activations, take no time."""

    @abstractmethod
    def least(self, network: IntegerNetwork, config: Any) -> MachineConfig:
        """The machine enlarged to what a network needs at the least, however it is placed."""

    @abstractmethod
    def needs(self, placed: Any, steps: int) -> Mapping[str, int]:
        """Entries of each memory for runs of so many steps, by the parameter of the machine."""

    @abstractmethod
    def lines(self, config: Any) -> list[str]:
        """A machine in a few lines, for people."""

    @abstractmethod
    def block(self, name: str, config: Any, top: str) -> Parts:
        """A block as the module ``top``, and what it is made of."""


class _Sparse(Backend):
    config = SparseConfig
    blocks = tuple(sparse_blocks.BLOCKS)

    def place(
        self,
        network: IntegerNetwork,
        config: SparseConfig,
        outputs: Outputs = (),
        *,
        fit: bool = False,
        steps: int = FITTED_STEPS,
        activity: Sequence[BoolArray] | None = None,
        streams: int = 1,
        like: Any = None,
    ) -> Placement:
        if streams > 1:
            raise SparnnError(
                f"streams = {streams}: only the dense machine lets sequences take turns; compile "
                f"for one, such as --config dense64"
            )
        layout = None if like is None else like.layout
        return place_sparse(
            network, config, outputs, fit=fit, steps=steps, layout=layout, activity=activity
        )

    def skips(self, config: SparseConfig) -> tuple[bool, bool]:
        return bool(config.masks), True

    def least(self, network: IntegerNetwork, config: SparseConfig) -> SparseConfig:
        return least_machine(network, config)

    def needs(self, placed: SparsePlacement, steps: int) -> Mapping[str, int]:
        return sparse_needs(placed, steps)

    def lines(self, config: SparseConfig) -> list[str]:
        split = " with split scales" if config.split_scales else ""
        wide = f" of {config.width} rows = {config.mac_units} MAC units" * (config.width > 1)
        masks = "" if config.masks else ", without masks of weights"
        return [
            f"machine        {config.lanes} lanes{wide}, {config.post_units} post units, V up to "
            f"{config.max_v}, chunks of {config.chunk}{masks}",
            f"widths         weights {config.weight_bits} bits{split}, activations "
            f"{config.activation_bits} bits",
        ]

    def block(self, name: str, config: SparseConfig, top: str) -> Parts:
        return [(sparse_blocks.BLOCKS[name](config), top)]


class _Dense(Backend):
    config = DenseConfig
    blocks = tuple(dense_blocks.BLOCKS)

    def place(
        self,
        network: IntegerNetwork,
        config: DenseConfig,
        outputs: Outputs = (),
        *,
        fit: bool = False,
        steps: int = FITTED_STEPS,
        activity: Sequence[BoolArray] | None = None,
        streams: int = 1,
        like: Any = None,
    ) -> Placement:
        return place_dense(network, config, outputs, fit=fit, steps=steps, streams=streams)

    def least(self, network: IntegerNetwork, config: DenseConfig) -> DenseConfig:
        return config  # placing takes no time

    def skips(self, config: DenseConfig) -> tuple[bool, bool]:
        return bool(config.mask_depth), False

    def needs(self, placed: DensePlacement, steps: int) -> Mapping[str, int]:
        return dense_needs(placed, steps)

    def lines(self, config: DenseConfig) -> list[str]:
        return [
            f"machine        dense, {config.lanes} lanes of {config.width} rows = "
            f"{config.mac_units} MAC units, {config.slices} post slices",
            f"tiles          {config.banks * config.width} x {config.bank_lanes} to "
            f"{config.width} x {config.lanes} (rows x columns)",
            f"widths         weights {config.weight_bits} bits, activations "
            f"{config.activation_bits} bits",
        ]

    def block(self, name: str, config: DenseConfig, top: str) -> Parts:
        return dense_blocks.block_components(name, config, top)


#: Machine's name in files -> how the compiler treats it.
BACKENDS: Mapping[str, Backend] = {one.config.MACHINE: one for one in (_Sparse(), _Dense())}


def backend(config: MachineConfig) -> Backend:
    """The backend of a configuration."""
    return BACKENDS[config.MACHINE]
