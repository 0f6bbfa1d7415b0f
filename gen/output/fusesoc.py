"""The folder as a core of FuseSoC."""

from sparnn.hdl.bus.top import BUS_MODULE, VLNV

__all__ = ["FUSESOC", "fusesoc_core"]

FUSESOC = "sparnn.core"

_CORE = """CAPI=2:
# Written by sparnn. fusesoc --cores-root . run --target lint {name}
name: {name}
description: Accelerator of recurrent networks behind standard buses
filesets:
  machine:
    files: [sparnn.v]
    file_type: verilogSource-2005
  bus:
    files: [sparnn_bus.v]
    file_type: verilogSource-2005
"""

# What Yosys writes is wide or narrow, and says cases in part, where Verilog's rules do the rest.
_TARGETS = f"""targets:
  default: &default
    filesets: [machine, bus]
    toplevel: {BUS_MODULE}
  lint:
    <<: *default
    description: Verilator's lint of the machine behind its bus
    flow: lint
    flow_options:
      tool: verilator
      verilator_options:
        [-Wno-WIDTH, -Wno-ASCRANGE, -Wno-CASEINCOMPLETE, -Wno-CASEOVERLAP, -Wno-CMPCONST]
"""

_BENCH = """  bench:
    files:
      - tb/sparnn_tb.v: {file_type: systemVerilogSource}
      - image.bin: {file_type: user, copyto: image.bin}
      - tb/said.hex: {file_type: user, copyto: said.hex}
      - tb/answered.hex: {file_type: user, copyto: answered.hex}
parameters:
  IMAGE:
    description: The network that the bench loads
    datatype: str
    paramtype: vlogparam
    default: image.bin
"""

# Waits of the bench are coroutines of C++.
_SIM = """  sim:
    description: The machine runs sequences, and each word is compared with the golden model's
    filesets: [bench, machine]
    toplevel: sparnn_tb
    parameters: [IMAGE]
    flow: sim
    flow_options:
      tool: verilator
      mode: binary
      verilator_options:
        [--timing, -CFLAGS, -std=gnu++20, -Wno-lint, -Wno-style, -Wno-UNOPTFLAT]
"""


def fusesoc_core(*, bench: bool) -> str:
    """The text of sparnn.core. ``bench``: the folder holds a network and its bench (``tb/``)."""
    core = _CORE.format(name=":".join(VLNV))
    return core + (_BENCH if bench else "") + _TARGETS + (_SIM if bench else "")
