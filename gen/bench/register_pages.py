"""Pages of the registers by PeakRDL: `python -m sparnn.gen.bench.register_pages FOLDER`."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sparnn.gen.output.registers import system_rdl
from sparnn.hdl.bus.top import Bus

__all__ = ["main", "write_pages"]


def write_pages(folder: Path) -> None:
    """Write the pages of all registers that a machine behind AXI may have."""
    from peakrdl_html import HTMLExporter
    from systemrdl import RDLCompiler

    with tempfile.TemporaryDirectory(prefix="sparnn-") as name:
        source = Path(name) / "sparnn_regs.rdl"
        source.write_text(system_rdl(Bus.AXI, weights=True), encoding="utf-8")
        compiler = RDLCompiler()
        compiler.compile_file(str(source))
        HTMLExporter().export(compiler.elaborate(), str(folder))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    write_pages(parser.parse_args(arguments).folder)


if __name__ == "__main__":
    main()
