"""Scripts for the vendors' programs: the hardware alone, measured out of context.

The ports of the machine get no pins here: Vivado places it out of context, Quartus takes virtual
pins. A board's design has a top of its own.
"""

import re
import shutil
from pathlib import Path

from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.emit import VERILOG
from sparnn.gen.output.folder import check_replaceable
from sparnn.gen.output.manifest import MANIFEST, read_manifest
from sparnn.gen.targets import Device, Target, find_device, find_target
from sparnn.hdl.emit import TOP_MODULE

__all__ = ["clock_ports", "write_project"]

_VIVADO = """\
# vivado -mode batch -source project.tcl
set folder [file dirname [file normalize [info script]]]
create_project -in_memory -part {part}
read_verilog [file join $folder {verilog}]
read_xdc -mode out_of_context [file join $folder {constraints}]
synth_design -top {top} -part {part} -mode out_of_context -flatten_hierarchy rebuilt
opt_design
place_design
phys_opt_design
route_design
report_utilization -hierarchical -file [file join $folder utilization.rpt]
report_timing_summary -file [file join $folder timing.rpt]
write_checkpoint -force [file join $folder {top}.dcp]
"""

_XDC = """\
# {mhz:g} MHz
create_clock -name {clock} -period {period:.3f} [get_ports {clock}]
"""

_QUARTUS = """\
# quartus_sh -t project.tcl
package require ::quartus::project
package require ::quartus::flow
cd [file dirname [file normalize [info script]]]
project_new {top} -overwrite
set_global_assignment -name FAMILY "Cyclone V"
set_global_assignment -name DEVICE {part}
set_global_assignment -name TOP_LEVEL_ENTITY {top}
set_global_assignment -name VERILOG_FILE {verilog}
set_global_assignment -name SDC_FILE {constraints}
{pins}
execute_flow -compile
project_close
"""

_SDC = """\
# {mhz:g} MHz
create_clock -name {clock} -period {period:.3f} [get_ports {{{clock}}}]
derive_clock_uncertainty
"""


def write_project(
    folder: Path, target: str, output: Path, *, device: str | None = None
) -> list[str]:
    """Write a vendor project for the Verilog of an output folder.

    Parameters
    ----------
    folder: what compile or emit wrote.
    output: a new or empty folder, or such a project.

    Returns
    -------
    Lines for the user.

    Raises
    ------
    SparnnError: a family that has no vendor flow here, or an output that holds something else.
    """
    family = find_target(target)
    part = find_device(family, device)
    if not part.part:
        raise SparnnError(
            f"--project: {family.name} is placed and routed with open tools, without --project; "
            f"projects are for xilinx7, xilinxup and intel"
        )
    read_manifest(folder)
    if not (folder / VERILOG).is_file():
        raise SparnnError(f"{folder / VERILOG} is missing: compile the model again")
    if output.exists() and not (output / "project.tcl").is_file():
        check_replaceable(output)
        if (output / MANIFEST).is_file():
            raise SparnnError(f"--project {output} holds a compiled model; name another folder")
    output.mkdir(parents=True, exist_ok=True)
    verilog = (folder / VERILOG).read_text(encoding="utf-8")
    shutil.copyfile(folder / VERILOG, output / VERILOG)
    clocks = clock_ports(verilog, TOP_MODULE)
    for name, text in _files(family, part, clocks, verilog).items():
        (output / name).write_text(text, encoding="utf-8")
    return [
        f"project        {family.title}, {part.title}, {', '.join(clocks)} at "
        f"{family.request_mhz:g} MHz",
        f"written        {output}",
    ]


def clock_ports(verilog: str, top: str) -> list[str]:
    """Input ports of the top module that some register below it may be clocked by: ``clk…``."""
    module = re.search(rf"^module {re.escape(top)}\b.*?^endmodule", verilog, re.M | re.S)
    text = module[0] if module else ""
    return re.findall(r"^  input (?:\[\d+:0\] )?((?:\w+_)?clk\w*) ?;", text, re.MULTILINE)


def _files(target: Target, device: Device, clocks: list[str], verilog: str) -> dict[str, str]:
    xilinx = target.name.startswith("xilinx")
    constraints = "clock.xdc" if xilinx else "clock.sdc"
    timing = "".join(
        (_XDC if xilinx else _SDC).format(
            clock=clock, mhz=target.request_mhz, period=1000 / target.request_mhz
        )
        for clock in clocks
    )
    ports = re.search(rf"^module {re.escape(TOP_MODULE)}\b.*?^endmodule", verilog, re.M | re.S)
    names = re.findall(
        r"^  (?:input|output) (\[\d+:0\] )?(\w+) ?;", ports[0] if ports else "", re.MULTILINE
    )
    pins = "\n".join(
        f"set_instance_assignment -name VIRTUAL_PIN ON -to {{{name}{'[*]' if wide else ''}}}"
        for wide, name in names
        if name not in clocks
    )
    script = (_VIVADO if xilinx else _QUARTUS).format(
        part=device.part, verilog=VERILOG, constraints=constraints, top=TOP_MODULE, pins=pins
    )
    return {"project.tcl": script, constraints: timing}
