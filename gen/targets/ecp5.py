"""Lattice ECP5."""

from .ecp5_enables import disconnect_loose_pins
from .ecp5_registers import absorb_registers
from .target import BlockRam, Device, Multiplier, Target

__all__ = ["ECP5"]


def _device(name: str, title: str, capacity: dict[str, int], *pnr: str) -> Device:
    return Device(name, title, capacity, ("--package", *pnr))


_12K = {"lut": 24288, "ff": 24288, "dsp": 28, "bram": 56}
_25K = {"lut": 24288, "ff": 24288, "dsp": 28, "bram": 56}
_45K = {"lut": 43848, "ff": 43848, "dsp": 72, "bram": 108}
_85K = {"lut": 83640, "ff": 83640, "dsp": 156, "bram": 208}

ECP5 = Target(
    name="ecp5",
    title="Lattice ECP5",
    # Mapping for depth: routing is three quarters of a path, so a LUT counts with 0.7 ns of it
    # (Yosys: 0.3); its restructuring (&dc2, &dch) made chains of small LUTs where depth is needed.
    synth="scratchpad -set abc9.script +&scorr;&sweep;&if,-W,700;&mfs\n"
    "synth_ecp5 -abc9 -nowidelut -dff -top {top}",
    lut_inputs=4,
    luts={"LUT4": 1},  # PFUMX and L6MUX21 are multiplexers beside the LUTs
    carry={"CCU2C": 2},
    # Four LUTs of data; the write port occupies two more (nextpnr's "RAMW LUTs").
    lut_ram={"TRELLIS_DPR16X4": 6},
    dsp={"MULT18X18D": 1},
    bram={"DP16KD": 1, "PDPW16KD": 1},
    ff=r"TRELLIS_FF",
    models=("ecp5/cells_sim.v", "ecp5/cells_bb.v"),
    multiplier=Multiplier(18, 18),
    block_ram=BlockRam(18432, ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))),
    distributed=(16, 4),
    units={"lut": "LUT4", "bram": "18 kbit"},
    devices={
        device.name: device
        for device in (
            _device("85k", "LFE5U-85F-6", _85K, "CABGA381", "--85k", "--speed", "6"),
            _device("45k", "LFE5U-45F-6", _45K, "CABGA381", "--45k", "--speed", "6"),
            _device("25k", "LFE5U-25F-6", _25K, "CABGA381", "--25k", "--speed", "6"),
            _device("12k", "LFE5U-12F-6", _12K, "CABGA381", "--12k", "--speed", "6"),
            _device("um5g-85k", "LFE5UM5G-85F-8", _85K, "CABGA554", "--um5g-85k", "--speed", "8"),
        )
    },
    finish=(disconnect_loose_pins, absorb_registers),
    pnr="nextpnr-ecp5",
    floorplan=True,
    constraints="sparnn.lpf",
    constrain=("--lpf", "sparnn.lpf"),
    placed="placed.config",
    write=("--textcfg", "placed.config"),
    pack=("ecppack", "--compress", "--input", "placed.config", "--bit", "sparnn.bit"),
    bitstream="sparnn.bit",
)
