"""Intel Cyclone V: area by Yosys; place and route in Quartus."""

from .target import BlockRam, Device, Multiplier, Target

__all__ = ["INTEL"]

INTEL = Target(
    name="intel",
    title="Intel Cyclone V",
    synth="synth_intel_alm -family cyclonev -noiopad -noclkbuf -top {top}",
    lut_inputs=6,
    luts={f"MISTRAL_ALUT{n}": 1 for n in range(2, 7)} | {"MISTRAL_NOT": 1},
    carry={"MISTRAL_ALUT_ARITH": 1},  # one bit, in the place of a LUT
    lut_ram={"MISTRAL_MLAB": 1},
    dsp={"MISTRAL_MUL9X9": 1, "MISTRAL_MUL18X18": 1, "MISTRAL_MUL27X27": 1},
    bram={"MISTRAL_M10K": 1},
    ff=r"MISTRAL_FF",
    models=(
        "intel_alm/common/alm_sim.v",
        "intel_alm/common/dff_sim.v",
        "intel_alm/common/dsp_sim.v",
        "intel_alm/common/mem_sim.v",
    ),
    multiplier=Multiplier(27, 27),
    block_ram=BlockRam(10240, ((256, 40), (512, 20), (1024, 10), (2048, 5), (4096, 2), (8192, 1))),
    distributed=(32, 20),
    units={"lut": "ALUT", "bram": "10 kbit"},
    devices={
        "5cseba6": Device(
            "5cseba6",
            "5CSEBA6U23I7",
            {"lut": 83820, "ff": 167640, "dsp": 112, "bram": 553},
            part="5CSEBA6U23I7",
        ),
    },
    request_mhz=100.0,
)
