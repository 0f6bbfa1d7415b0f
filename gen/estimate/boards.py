"""What a machine takes of a board's FPGA, and how long its steps last there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sparnn.gen.boards import BOARDS, Board
from sparnn.gen.errors import SparnnError
from sparnn.gen.fit.fit import shortage
from sparnn.gen.fit.model import predict, unmeasured
from sparnn.hdl.machine import MachineConfig

__all__ = ["BoardEstimate", "board_estimates", "check_board", "too_small"]

_UNITS = (("lut", "LUT"), ("ff", "FF"), ("dsp", "DSP"), ("bram", "block RAM"), ("spram", "SPRAM"))


@dataclass(frozen=True)
class BoardEstimate:
    """A machine on a board.

    Members
    -------
    needs: predicted resources; empty where nothing is known.
    short: what of them is more than the FPGA has; "" where it fits.
    unknown: why nothing is known; "" where it is.
    """

    board: Board
    needs: Mapping[str, float]
    short: str
    unknown: str

    @property
    def fits(self) -> bool:
        return not self.short and not self.unknown

    def microseconds(self, cycles: float) -> float:
        """So many cycles at the board's clock."""
        return cycles / self.board.machine_mhz

    def text(self, cycles: float) -> str:
        """For people, without the board's name."""
        board = self.board
        if self.unknown:
            return f"not known, {self.unknown}"
        time = f"{self.microseconds(cycles):.1f} us a step at {board.machine_mhz:g} MHz"
        taken = ", ".join(
            f"{self.needs[name]:,.0f} of {board.part.capacity[name]:,} {unit}"
            for name, unit in _UNITS
            if name in self.needs and name in board.part.capacity
        )
        if "cells" in self.needs:
            cells = f"{self.needs['cells']:,.0f} of {board.part.capacity['cells']:,} logic cells"
            taken = f"{cells}, {taken}"
        if self.short:
            return f"does not fit, {self.short}"
        return f"{time}; {taken}"

    def as_dict(self, cycles: float) -> dict[str, Any]:
        """For JSON."""
        return {
            "board": self.board.name,
            "device": self.board.part.title,
            "mhz": self.board.machine_mhz,
            "microseconds_per_step": self.microseconds(cycles),
            "fits": self.fits,
            "short": self.short,
            "unknown": self.unknown,
            "needs": {name: round(value) for name, value in self.needs.items()},
            "available": dict(self.board.part.capacity),
        }


def board_estimates(config: MachineConfig, boards: Sequence[str]) -> list[BoardEstimate]:
    """A machine on boards, by their names."""
    found = []
    for board in (BOARDS[name] for name in boards):
        unknown = _unknown(config, board)
        needs: Mapping[str, float] = {}
        if not unknown:
            needs = predict(config, board.target)
        found.append(BoardEstimate(board, needs, shortage(needs, board.part), unknown))
    return found


def too_small(least: MachineConfig, name: str) -> str:
    """What keeps a machine from a board however large its memories become; "" where that is not
    known. Only of block RAM larger memories always take as much or more: small ones are LUTs, and
    large ones of iCE40 are elsewhere."""
    board = BOARDS[name]
    unknown = _unknown(least, board)
    if unknown or "spram" in board.target.extra:
        return unknown
    short = shortage({"bram": predict(least, board.target)["bram"]}, board.part)
    return short and f"at the least, {short}"


def check_board(config: MachineConfig, name: str) -> None:
    """Refuse a machine that a board is too small for; where nothing is known, none is.

    Raises
    ------
    SparnnError: it does not fit.
    """
    estimates = {one.board.name: one for one in board_estimates(config, tuple(BOARDS))}
    if estimates[name].short:
        others = [one for one, estimate in estimates.items() if estimate.fits]
        larger = f"take {' or '.join(others)}" if others else "take a larger FPGA"
        raise SparnnError(
            f"--config {name}: the network's machine does not fit {BOARDS[name].part.title} by "
            f"prediction: {estimates[name].short}; {larger}, fewer lanes or weight bits, a pruned "
            "or a smaller network, or describe the machine in a file, which is taken as it is"
        )


def _unknown(config: MachineConfig, board: Board) -> str:
    if config.MACHINE != "sparse":
        return "boards take sparse machines only"
    return unmeasured(config, board.target)
