"""What synthesis, place and route, and the fitting must know of an FPGA family."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sparnn.hdl.common.numbers import ceil_div

__all__ = ["BlockRam", "Device", "Multiplier", "Target"]


@dataclass(frozen=True)
class Multiplier:
    """The family's hard multiplier: widths of its signed operands, in bits."""

    a_bits: int
    b_bits: int


@dataclass(frozen=True)
class BlockRam:
    """The family's block RAM.

    Members
    -------
    bits: capacity of one block.
    shapes: (words, bits a word) that one block may have with a read and a write port.
    latency: cycles from address to data; the hardware registers it once more before logic.
    """

    bits: int
    shapes: tuple[tuple[int, int], ...]
    latency: int = 1

    def blocks(self, words: int, width: int) -> int:
        """Least number of blocks, all of one shape, that hold ``words`` of ``width`` bits."""
        return min(ceil_div(words, depth) * ceil_div(width, bits) for depth, bits in self.shapes)


@dataclass(frozen=True)
class Device:
    """One part of a family.

    Members
    -------
    name: as the command line takes it.
    title: as the vendor calls it.
    capacity: what ``lut`` (in cells of the family), ``ff``, ``dsp`` and ``bram`` there are; for
        iCE40 also ``spram``.
    pnr: what nextpnr needs to know of it.
    pins: constraints that place the five pins of the wrapper for measuring, in the family's
        format, where nextpnr does not choose them by itself.
    variant: what ``{variant}`` in the family's ``synth`` is for this part.
    part: the part number in the vendor's own program; "" where none is written for it.
    """

    name: str
    title: str
    capacity: Mapping[str, int]
    pnr: tuple[str, ...] = ()
    pins: str = ""
    part: str = ""
    variant: str = ""


@dataclass(frozen=True)
class Target:
    """One family.

    Parameters
    ----------
    name, title: for the command line, for people.
    synth: Yosys' command; ``{top}`` and ``{variant}`` are replaced.
    lut_inputs: of the family's basic LUT.
    luts: cell -> how many LUTs it takes, logic only.
    carry: cell -> LUTs that one carry cell counts as.
    lut_ram: cell -> LUTs that a memory made of LUTs takes, its write port included.
    dsp, bram: cell -> how many of the units in ``Device.capacity`` it takes.
    ff: pattern of flip-flop cells.
    extra: other resources by name, each with its cells.
    models: simulation models of the cells, in Yosys' share folder.
    pads: commands of Yosys that put pads around the flat netlist, where ``synth`` puts none.
    finish: each changes the mapped netlist (Yosys' JSON), where Yosys leaves something to gain.
    multiplier, block_ram: shapes.
    distributed: (words, bits) of a LUT RAM, None if there is none.
    pnr: program of nextpnr, None where there is none for this family.
    pnr_options: beside those of the device.
    floorplan: block RAMs that are crowded get places (gen/synth/floorplan.py).
    constraints: file of pins and clocks.
    constrain: nextpnr's options that name it.
    placed: what nextpnr writes for the packer.
    write: its options that name it.
    pack: the packer and its arguments; ``{part}`` is the device's.
    bitstream: what it writes.
    whole: blocks cannot be kept apart in synthesis: always flat, one block.
    flat_pnr: place and route needs a netlist synthesized flat.
    packs_cells: what fills a part are logic cells, whose number only packing tells (a flip-flop
        shares one with a LUT only if that feeds it): "cells" is fitted and compared as well.
    request_mhz: the clock asked of place and route, above what is reached.
    units: what ``lut`` and ``bram`` are counted in.
    devices: the first is the default.
    """

    name: str
    title: str
    synth: str
    lut_inputs: int
    luts: Mapping[str, int]
    carry: Mapping[str, int]
    lut_ram: Mapping[str, int]
    dsp: Mapping[str, float]
    bram: Mapping[str, float]
    ff: str
    models: tuple[str, ...]
    multiplier: Multiplier
    block_ram: BlockRam
    distributed: tuple[int, int] | None
    units: Mapping[str, str]
    devices: Mapping[str, Device]
    pads: str = ""
    finish: tuple[Callable[[Mapping[str, Any]], None], ...] = ()
    pnr: str | None = None
    pnr_options: tuple[str, ...] = ()
    floorplan: bool = False
    constraints: str = ""
    constrain: tuple[str, ...] = ()
    placed: str = ""
    write: tuple[str, ...] = ()
    pack: tuple[str, ...] = ()
    bitstream: str = ""
    whole: bool = False
    flat_pnr: bool = False
    packs_cells: bool = False
    request_mhz: float = 200.0
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def default_device(self) -> Device:
        return next(iter(self.devices.values()))

    def count(self, cells: Mapping[str, int]) -> dict[str, int | float]:
        """Resources from numbers of cells.

        ``lut`` is everything in LUTs: logic, carry cells, LUT RAM; the three also alone.
        """

        def total(weights: Mapping[str, int] | Mapping[str, float]) -> float:
            return sum(weights[name] * number for name, number in cells.items() if name in weights)

        logic, carry = int(total(self.luts)), int(total(self.carry))
        lut_ram = int(total(self.lut_ram))
        flip_flops = re.compile(self.ff)
        counted: dict[str, int | float] = {
            "lut": logic + carry + lut_ram,
            "lut_logic": logic,
            "lut_in_carry": carry,
            "lut_in_lut_ram": lut_ram,
            "carry_cells": sum(cells.get(name, 0) for name in self.carry),
            "lut_ram_cells": sum(cells.get(name, 0) for name in self.lut_ram),
            "ff": sum(n for name, n in cells.items() if flip_flops.fullmatch(name)),
            "dsp": _whole(total(self.dsp)),
            "bram": _whole(total(self.bram)),
        }
        for name, members in self.extra.items():
            counted[name] = sum(cells.get(member, 0) for member in members)
        return counted


def _whole(value: float) -> int | float:
    return int(value) if value == int(value) else value
