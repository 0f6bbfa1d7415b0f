"""Lattice Nexus (CrossLink-NX, Certus-NX)."""

from .nexus_carry import disconnect_first_carry
from .target import BlockRam, Device, Multiplier, Target

__all__ = ["NEXUS"]

#: General pins of the LIFCL-40. The clock's is one of the upper edge: from left and right nextpnr
#: finds no route to a clock buffer.
_PINS = "".join(
    f"ldc_set_location -site {{{site}}} [get_ports {{{port}}}]\n"
    for port, site in zip(
        ("clk", "rst", "shift_in", "load", "shift_out"),
        ("E8", "E17", "F13", "G13", "F14"),
        strict=True,
    )
)

NEXUS = Target(
    name="nexus",
    title="Lattice Nexus",
    synth="synth_nexus -abc9 -top {top}",
    finish=(disconnect_first_carry,),
    lut_inputs=4,
    luts={"LUT4": 1, "WIDEFN9": 2},
    carry={"CCU2": 2},
    lut_ram={"DPR16X4": 6},
    dsp={"MULT9X9": 0.5, "MULT18X18": 1, "MULT18X36": 2, "MULT36X36": 4},
    bram={"PDPSC16K": 1, "DP16K": 1, "PDP16K": 1, "EBR_CORE": 1},
    ff=r"FD1P3\w+",
    models=("nexus/cells_sim.v", "nexus/cells_xtra.v"),
    multiplier=Multiplier(18, 18),
    block_ram=BlockRam(18432, ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))),
    distributed=(16, 4),
    units={"lut": "LUT4", "bram": "18 kbit"},
    devices={
        "lifcl-40": Device(
            "lifcl-40",
            "LIFCL-40-9BG400C",
            {"lut": 32256, "ff": 32256, "dsp": 56, "bram": 84},
            ("--device", "LIFCL-40-9BG400C"),
            pins=_PINS,
        ),
    },
    pnr="nextpnr-nexus",
    constraints="sparnn.pdc",
    constrain=("--pdc", "sparnn.pdc"),
    # A constant that crosses a block's boundary into a carry chain is not folded by Yosys.
    flat_pnr=True,
    request_mhz=250.0,
)
