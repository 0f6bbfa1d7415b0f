"""Lattice iCE40 UltraPlus."""

from .target import BlockRam, Device, Multiplier, Target

__all__ = ["ICE40"]

ICE40 = Target(
    name="ice40",
    title="Lattice iCE40 UP",
    # -spram: never inferred from a memory that has an initial value or two ports.
    synth="synth_ice40 -abc9 -device u -dsp -spram -top {top}",
    lut_inputs=4,
    luts={"SB_LUT4": 1},
    # The measure asked for counts a carry cell as two. Here it shares a logic cell with the
    # SB_LUT4 of the same bit, so that ``lut_logic`` is nearer to the cells that are used.
    carry={"SB_CARRY": 2},
    lut_ram={},
    dsp={"SB_MAC16": 1},
    bram={"SB_RAM40_4K": 1, "SB_RAM40_4KNR": 1, "SB_RAM40_4KNW": 1, "SB_RAM40_4KNRNW": 1},
    ff=r"SB_DFF\w*",
    models=("ice40/cells_sim.v",),
    multiplier=Multiplier(16, 16),
    block_ram=BlockRam(4096, ((256, 16), (512, 8), (1024, 4), (2048, 2))),
    distributed=None,  # an asynchronously read memory becomes flip-flops
    units={"lut": "LUT4", "bram": "4 kbit"},
    devices={
        "up5k": Device(
            "up5k",
            "iCE40UP5K-SG48",
            {"lut": 5280, "ff": 5280, "dsp": 8, "bram": 30, "spram": 4, "cells": 5280},
            ("--up5k", "--package", "sg48", "--pcf-allow-unconstrained"),
        ),
    },
    pnr="nextpnr-ice40",
    constraints="sparnn.pcf",
    constrain=("--pcf", "sparnn.pcf"),
    placed="placed.asc",
    write=("--asc", "placed.asc"),
    pack=("icepack", "placed.asc", "sparnn.bin"),
    bitstream="sparnn.bin",
    packs_cells=True,
    whole=True,  # with blocks kept apart Yosys 0.69 ends in an assertion (rtlil.cc:2872)
    request_mhz=60.0,
    extra={"spram": ("SB_SPRAM256KA",)},
)
