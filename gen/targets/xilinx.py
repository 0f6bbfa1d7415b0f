"""AMD Xilinx 7-series and UltraScale+: area by Yosys; place and route in Vivado."""

from .target import BlockRam, Device, Multiplier, Target

__all__ = ["XILINX7", "XILINXUP"]

_LUTS = {f"LUT{n}": 1 for n in range(1, 7)} | {"LUT6_2": 1, "SRL16E": 1, "SRLC32E": 1}
_LUT_RAM = {
    "RAM32X1D": 2,
    "RAM64X1D": 2,
    "RAM32X1S": 1,
    "RAM64X1S": 1,
    "RAM32M": 4,
    "RAM64M": 4,
    "RAM32M16": 8,
    "RAM64M8": 8,
    "RAM128X1D": 4,
}
_SHAPES = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))

XILINX7 = Target(
    name="xilinx7",
    title="AMD 7-series",
    constraints="sparnn.xdc",
    synth="synth_xilinx -family xc7 -abc9 -noiopad -noclkbuf -top {top}",
    lut_inputs=6,
    luts=_LUTS,
    carry={"CARRY4": 0},  # beside the LUTs
    lut_ram=_LUT_RAM,
    dsp={"DSP48E1": 1},
    bram={"RAMB18E1": 1, "RAMB36E1": 2},
    ff=r"FD[RSCP]E",
    models=("xilinx/cells_sim.v",),
    multiplier=Multiplier(25, 18),
    block_ram=BlockRam(18432, _SHAPES),
    distributed=(32, 6),
    units={"lut": "LUT6", "bram": "18 kbit"},
    devices={
        "xc7a35t": Device(
            "xc7a35t",
            "XC7A35T-1",
            {"lut": 20800, "ff": 41600, "dsp": 90, "bram": 100},
            part="xc7a35ticsg324-1L",
        ),
        "xc7a100t": Device(
            "xc7a100t",
            "XC7A100T-1",
            {"lut": 63400, "ff": 126800, "dsp": 240, "bram": 270},
            part="xc7a100tcsg324-1",
        ),
        "xc7z020": Device(
            "xc7z020",
            "XC7Z020-1",
            {"lut": 53200, "ff": 106400, "dsp": 220, "bram": 280},
            part="xc7z020clg400-1",
        ),
    },
    request_mhz=100.0,
)

XILINXUP = Target(
    name="xilinxup",
    title="AMD UltraScale+",
    synth="synth_xilinx -family xcup -abc9 -noiopad -noclkbuf -top {top}",
    lut_inputs=6,
    luts=_LUTS,
    carry={"CARRY4": 0, "CARRY8": 0},
    lut_ram=_LUT_RAM,
    dsp={"DSP48E2": 1},
    bram={"RAMB18E2": 1, "RAMB36E2": 2},
    ff=r"FD[RSCP]E",
    models=("xilinx/cells_sim.v",),
    multiplier=Multiplier(27, 18),
    block_ram=BlockRam(18432, _SHAPES),
    distributed=(32, 6),
    units={"lut": "LUT6", "bram": "18 kbit"},
    devices={
        "xczu3eg": Device(
            "xczu3eg",
            "XCZU3EG-1",
            {"lut": 70560, "ff": 141120, "dsp": 360, "bram": 432},
            part="xczu3eg-sbva484-1-i",
        ),
    },
    request_mhz=200.0,
    extra={"uram": ("URAM288",)},
)
