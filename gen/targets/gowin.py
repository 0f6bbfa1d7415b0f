"""Gowin GW1N and GW2A."""

from .target import BlockRam, Device, Multiplier, Target

__all__ = ["GOWIN"]

#: Pins of the Tang Primer 20K; any general ones would do.
_PINS = "".join(
    f'IO_LOC "{port}" {site};\n'
    for port, site in zip(
        ("clk", "rst", "shift_in", "load", "shift_out"),
        ("H11", "T10", "T3", "T2", "C13"),
        strict=True,
    )
)

GOWIN = Target(
    name="gowin",
    title="Gowin GW2A",
    # -setundef: Apicula has no unknown bits. Pads: Yosys would put them around every block.
    synth="synth_gowin -family {variant} -setundef -noiopads -top {top}",
    pads="iopadmap -bits -inpad IBUF O:I -outpad OBUF I:O -toutpad TBUF ~OEN:I:O "
    "-tinoutpad IOBUF ~OEN:O:I:IO",
    lut_inputs=4,
    luts={"LUT1": 1, "LUT2": 1, "LUT3": 1, "LUT4": 1},
    carry={"ALU": 1},  # one bit, in the place of a LUT
    lut_ram={"RAM16SDP4": 6, "RAM16SDP2": 3, "RAM16SDP1": 2},
    dsp={"MULT9X9": 0.5, "MULT18X18": 1, "MULT36X36": 4, "MULTALU18X18": 1, "MULTADDALU18X18": 2},
    bram={"SDPB": 1, "SDPX9B": 1, "DPB": 1, "DPX9B": 1, "SP": 1, "SPX9": 1, "pROM": 1, "pROMX9": 1},
    ff=r"DFFN?[SRPC]?E?",
    models=("gowin/cells_sim.v",),
    multiplier=Multiplier(18, 18),
    block_ram=BlockRam(18432, ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))),
    distributed=(16, 4),
    units={"lut": "LUT4", "bram": "18 kbit"},
    devices={
        "gw2a-18": Device(
            "gw2a-18",
            "GW2A-LV18PG256C8/I7",
            {"lut": 20736, "ff": 15552, "dsp": 48, "bram": 46},
            ("--device", "GW2A-LV18PG256C8/I7", "--vopt", "family=GW2A-18"),
            pins=_PINS,
            part="GW2A-18",
            variant="gw2a",
        ),
        "gw1n-9c": Device(
            "gw1n-9c",
            "GW1NR-LV9QN88PC6/I5",
            {"lut": 8640, "ff": 6480, "dsp": 20, "bram": 26},
            ("--device", "GW1NR-LV9QN88PC6/I5", "--vopt", "family=GW1N-9C"),
            part="GW1N-9C",
            variant="gw1n",
        ),
    },
    pnr="nextpnr-himbaechel-gowin",
    constraints="sparnn.cst",
    constrain=("--vopt", "cst=sparnn.cst"),
    placed="placed.json",
    write=("--write", "placed.json"),
    pack=("gowin_pack", "-d", "{part}", "-o", "sparnn.fs", "placed.json"),
    bitstream="sparnn.fs",
    request_mhz=150.0,
)
