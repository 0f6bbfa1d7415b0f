"""The widths of weights and activations: the cheapest that keep the outputs near enough."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from sparnn.gen.errors import SparnnError
from sparnn.gen.network.model import FloatNetwork
from sparnn.hdl.machine import MachineConfig
from sparnn.sim.network.arrays import Sequence as InputSequence

from .calibration import LEAST_SQUARES, Calibration
from .features import Fitted, quantize_best

__all__ = ["DEFAULT_DB", "WEIGHTS", "ACTIVATIONS", "Chosen", "Wanted", "choose_widths"]

#: Signal to quantization noise that a compiled network keeps where nothing else is asked for.
DEFAULT_DB = 30.0
#: Widths that every machine has.
WEIGHTS, ACTIVATIONS = range(4, 17), range(8, 17)
#: Where not even the widest widths reach what is wanted, so much less than theirs is good enough.
_SLACK_DB = 0.5


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked of the widths.

    Members
    -------
    sqnr_db: of the outputs on the sample inputs, at least.
    weight_bits, activation_bits: those of the machine, which are tried first.
    weights_fixed, activations_fixed: the user has named them: they stay.
    cheapest: look for narrower ones too; else those of the machine stay where they are enough.
    """

    sqnr_db: float = DEFAULT_DB
    weight_bits: int = 8
    activation_bits: int = 8
    weights_fixed: bool = False
    activations_fixed: bool = False
    cheapest: bool = False

    @classmethod
    def of(
        cls,
        machine: MachineConfig,
        named: Collection[str],
        sqnr: float | None,
        weight_bits: int | None,
        activation_bits: int | None,
    ) -> "Wanted":
        """What a command asks of a machine's widths: those that it names, or the machine's file
        (``named``), stay."""
        return cls(
            sqnr_db=DEFAULT_DB if sqnr is None else sqnr,
            weight_bits=machine.weight_bits,
            activation_bits=machine.activation_bits,
            weights_fixed=weight_bits is not None or "weight_bits" in named,
            activations_fixed=activation_bits is not None or "activation_bits" in named,
            cheapest=sqnr is not None,
        )


@dataclass(frozen=True, eq=False)
class Chosen:
    """Widths, and the networks in integers of those widths.

    Members
    -------
    sqnr_db: the least of the networks' outputs.
    wanted: what was asked for. first_db: what the machine's own widths gave; None, as long as these
        were not tried.
    """

    weight_bits: int
    activation_bits: int
    networks: tuple[Fitted, ...]
    sqnr_db: float
    wanted: Wanted
    first_db: float | None

    @property
    def reached(self) -> bool:
        return self.sqnr_db >= self.wanted.sqnr_db

    @property
    def widened(self) -> bool:
        """The widths are others than the machine's own."""
        own = self.wanted.weight_bits, self.wanted.activation_bits
        return (self.weight_bits, self.activation_bits) != own

    def lines(self) -> list[str]:
        """For people."""
        wanted = self.wanted
        text = (
            f"output         {self.sqnr_db:.1f} dB of signal to quantization noise on the sample "
            f"inputs with weights of {self.weight_bits} and activations of "
            f"{self.activation_bits} bits"
        )
        if self.widened and self.first_db is not None and self.first_db < wanted.sqnr_db:
            text += (
                f"; {wanted.weight_bits} and {wanted.activation_bits} bits give "
                f"{self.first_db:.1f} dB"
            )
        lines = [text]
        if not self.reached:
            lines.append(
                f"output         fewer than the {wanted.sqnr_db:g} dB asked for{self._why}"
            )
        return lines

    @property
    def _why(self) -> str:
        named = []
        if self.wanted.weights_fixed and self.weight_bits < WEIGHTS[-1]:
            named.append("weights")
        if self.wanted.activations_fixed and self.activation_bits < ACTIVATIONS[-1]:
            named.append("activations")
        if not named:
            return ", which no width reaches: 16-bit states and tables set the limit"
        return f": the bits of {' and '.join(named)} were named; without them wider ones are chosen"


def choose_widths(
    parts: Sequence[tuple[FloatNetwork, Sequence[InputSequence]]],
    wanted: Wanted,
    *,
    split_scales: bool = False,
    calibration: Calibration = LEAST_SQUARES,
) -> Chosen:
    """Choose widths for networks that run on one machine.

    The noise of weights and that of activations add up. So first the fewest bits of each are found
    that are enough where the other one has the most; then widths from there on, in the order of
    their sum, until the outputs are good enough.

    Parameters
    ----------
    parts: networks, each with its sample inputs.

    Raises
    ------
    SparnnError: the networks cannot be quantized (:func:`~sparnn.gen.quantize.quantize.quantize`).
    """
    tried: dict[tuple[int, int], tuple[Fitted, ...] | SparnnError] = {}

    def fitted(weights: int, activations: int) -> tuple[Fitted, ...]:
        key = weights, activations
        if key not in tried:
            try:
                tried[key] = tuple(
                    quantize_best(
                        network,
                        sequences,
                        weights,
                        activations,
                        split_scales=split_scales,
                        calibration=calibration,
                    )
                    for network, sequences in parts
                )
            except SparnnError as error:
                tried[key] = error
        found = tried[key]
        if isinstance(found, SparnnError):
            raise found
        return found

    def db(weights: int, activations: int) -> float:
        try:
            return min(one.output_db for one in fitted(weights, activations))
        except SparnnError:
            return float("-inf")  # a value that these widths do not hold

    own = wanted.weight_bits, wanted.activation_bits
    first = None if wanted.cheapest else db(*own)
    fixed = wanted.weights_fixed and wanted.activations_fixed
    enough = first is not None and first >= wanted.sqnr_db
    weights, activations = own if fixed or enough else _search(db, wanted)
    networks = fitted(weights, activations)
    return Chosen(weights, activations, networks, db(weights, activations), wanted, first)


def _search(db: Callable[[int, int], float], wanted: Wanted) -> tuple[int, int]:
    """Widths of the least sum that give what is wanted, or nearly what the widest give."""

    def widths(every: range, own: int, fixed: bool) -> range:
        if fixed:
            return range(own, own + 1)
        return every if wanted.cheapest else range(min(own, every[-1]), every.stop)

    weights = widths(WEIGHTS, wanted.weight_bits, wanted.weights_fixed)
    activations = widths(ACTIVATIONS, wanted.activation_bits, wanted.activations_fixed)
    best = db(weights[-1], activations[-1])
    target = wanted.sqnr_db if best >= wanted.sqnr_db else best - _SLACK_DB
    least_weights = _fewest(weights, lambda bits: db(bits, activations[-1]) >= target)
    least_activations = _fewest(activations, lambda bits: db(weights[-1], bits) >= target)
    pairs = [
        (one, other)
        for one in weights
        for other in activations
        if one >= least_weights and other >= least_activations
    ]
    pairs.sort(key=lambda pair: (sum(pair), pair[0]))
    return next((pair for pair in pairs if db(*pair) >= target), pairs[-1])


def _fewest(widths: range, enough: Callable[[int], bool]) -> int:
    """The fewest bits that are enough, by halving: more bits are hardly ever worse."""
    low, high = 0, len(widths) - 1
    while low < high:
        middle = (low + high) // 2
        if enough(widths[middle]):
            high = middle
        else:
            low = middle + 1
    return widths[low]
