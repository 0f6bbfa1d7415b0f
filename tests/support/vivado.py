"""Runs Vivado's Tcl scripts in a real Tcl, with commands that only note how they are called.

A block design is followed: cells and their pins exist before they are joined, and a pin is driven
once. Commands that are not here are errors, so a misspelt one is seen.
"""

import tkinter
from collections.abc import Callable
from pathlib import Path

#: Commands that do something to files or designs; what they answer means nothing.
SIMPLE = (
    *("create_project", "close_project", "add_files", "update_compile_order", "set_property"),
    *("ipx::package_project", "ipx::infer_bus_interface", "ipx::associate_bus_interfaces"),
    *("ipx::create_xgui_files", "ipx::update_checksums", "ipx::save_core", "update_ip_catalog"),
    *("create_bd_design", "apply_bd_automation", "assign_bd_address", "validate_bd_design"),
    *("save_bd_design", "generate_target", "launch_runs", "wait_on_run", "open_run"),
    *("report_utilization", "report_timing_summary", "read_verilog", "read_xdc", "synth_design"),
    *("opt_design", "place_design", "phys_opt_design", "route_design", "write_bitstream"),
)
#: Commands that give an object: here its name.
OBJECTS = (
    *("current_project", "current_fileset", "current_design", "ipx::current_core", "get_runs"),
    *("get_files", "get_bd_cells", "get_bd_addr_segs", "get_bd_addr_spaces", "make_wrapper"),
    "get_timing_paths",
)
#: Cells of Xilinx: pins, and pins of buses.
CELLS = {
    "processing_system7": (
        {"FCLK_CLK0", "FCLK_RESET0_N", "M_AXI_GP0_ACLK", "S_AXI_HP0_ACLK", "IRQ_F2P"},
        {"M_AXI_GP0", "S_AXI_HP0"},
    ),
    "smartconnect": ({"aclk", "aresetn"}, {"S00_AXI", "M00_AXI"}),
    "proc_sys_reset": ({"slowest_sync_clk", "ext_reset_in", "peripheral_aresetn"}, set()),
}


class Vivado:
    """One run of a script.

    Members
    -------
    calls: every command with its arguments. cells: of the block design, by name: the name of their
    IP. driven: pin -> what it is joined to, for pins and buses.
    """

    def __init__(self, own: tuple[set[str], set[str]], *, slack: str = "0.1") -> None:
        self.own, self.slack = own, slack
        self.calls: list[tuple[str, ...]] = []
        self.cells: dict[str, str] = {}
        self.driven: dict[str, str] = {}
        self.tcl = tkinter.Tcl()
        self.tcl.eval("namespace eval ipx {}")
        for name in SIMPLE:
            self._command(name, lambda *arguments: "")
        for name in OBJECTS:
            self._command(name, lambda *arguments: arguments[-1] if arguments else "it")
        self._command("get_board_parts", lambda *arguments: "")
        self._command("get_property", lambda name, *of: self.slack if name == "SLACK" else "100%")
        self._command("create_bd_cell", self._create_cell)
        self._command("get_bd_pins", lambda name: self._pin(name, 0))
        self._command("get_bd_intf_pins", lambda name: self._pin(name, 1))
        self._command("connect_bd_net", self._connect)
        self._command("connect_bd_intf_net", self._connect)
        self.tcl.eval("rename file tcl_file")
        self.tcl.eval(
            "proc file {what args} {if {$what eq {copy}} {note_copy {*}$args} else "
            "{uplevel tcl_file $what $args}}"
        )
        self._command("note_copy", lambda *arguments: "")

    def run(self, script: Path, *arguments: str) -> None:
        """Source a script as ``vivado -source`` does."""
        self.tcl.call("set", "argv", arguments)
        self.tcl.call("source", str(script))

    def called(self, name: str) -> list[tuple[str, ...]]:
        return [arguments for command, *arguments in self.calls if command == name]

    def _command(self, name: str, answer: Callable[..., str]) -> None:
        def noted(*arguments: str) -> str:
            self.calls.append((name, *arguments))
            return answer(*arguments)

        self.tcl.createcommand(name, noted)

    def _create_cell(self, *arguments: str) -> str:
        *options, name = arguments
        assert name not in self.cells
        self.cells[name] = options[options.index("-vlnv") + 1]
        return name

    def _pins(self, cell: str) -> tuple[set[str], set[str]]:
        return CELLS.get(self.cells[cell].split(":")[2], self.own)

    def _pin(self, name: str, kind: int) -> str:
        cell, pin = name.split("/")
        assert pin in self._pins(cell)[kind], name
        return name

    def _connect(self, driver: str, pin: str) -> str:
        assert pin not in self.driven, pin
        self.driven[pin] = driver
        return ""
