"""A compiled folder's machine for a chip: its memories as modules of their own (docs/chips.md)."""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.bus import BusChoice, bus_choice
from sparnn.gen.output.folder import written_aside
from sparnn.gen.output.manifest import MANIFEST, file_hashes, manifest_text, read_manifest
from sparnn.hdl.bus.top import BUS_MODULE
from sparnn.hdl.emit import TOP_MODULE, machine_config, machine_verilog
from sparnn.hdl.machine import MachineConfig
from sparnn.hdl.macros import MemoryMacro, separate_memories
from sparnn.sim.progress import progress
from sparnn.sim.verilator.cache import kept, key_of, sources

from .instances import instances
from .memories import ARRAY

__all__ = [
    "LEAST_BITS",
    "MacroMachine",
    "harsh",
    "harsh_verilog",
    "macro_file",
    "macro_machine",
    "write_macros",
]

LEAST_BITS = 512
"""Smaller memories are flip-flops, unless another limit is given."""

MACHINE, WRAPPER = "sparnn.v", f"{BUS_MODULE}.v"
MODELS, LIST = "sparnn_memories.v", "memories.json"
_TOPS = {MACHINE: TOP_MODULE, WRAPPER: BUS_MODULE}

#: A register and its initial value.
_START = re.compile(r"^(  reg (?:\[\d+:0\] )?\S+ +=) (\d+'[hdb][0-9a-f]+);", re.MULTILINE)


@dataclass(frozen=True)
class MacroMachine:
    """A machine, and the wrapper of a bus where it has one.

    Members
    -------
    texts: Verilog by the file's name: modules that place memories.
    models: the memories' modules, for simulation.
    placed: each place of a memory: its module, where it stands, how often, and its ports.
    left: arrays of at least so many bits that stay in ``texts``.
    """

    texts: Mapping[str, str]
    models: str
    placed: tuple[dict[str, Any], ...]
    left: tuple[dict[str, Any], ...]

    @property
    def bits(self) -> int:
        """Of all memories that are apart."""
        return sum(one["words"] * one["bits"] * one["copies"] for one in self.placed)

    def lines(self) -> Iterator[str]:
        """For the user."""
        kinds = {one["module"] for one in self.placed}
        copies = sum(one["copies"] for one in self.placed)
        yield f"memories       {copies} of {len(kinds)} kinds, {self.bits:,} bits"
        for one in self.left:
            yield (
                f"left           {one['in']}.{one['name']}, {one['words']:,} x {one['bits']} bits, "
                f"{one['copies']} of it: read without a clock, or constant"
            )


def macro_machine(
    config: MachineConfig, least_bits: int = LEAST_BITS, around: BusChoice | None = None
) -> MacroMachine:
    """The machine, and what is ``around`` it, with memories of at least so many bits as instances.

    Reads and writes of weights and masks never meet where the host fills them; where they come from
    external memory they do.
    """
    with separate_memories(least_bits, alone=not config.stream_bits) as kinds:
        texts = {MACHINE: machine_verilog(config)}
        if around is not None:
            texts[WRAPPER] = _wrapper(around, config)
    by_name = {kind.name: kind for kind in kinds}
    placed, left = [], []
    modules = (one for name, text in texts.items() for one in instances(text, _TOPS[name]))
    for module, copies, inside, body in modules:
        for name, kind in inside:
            if kind in by_name:
                placed.append(_row(by_name[kind], module, name, copies))
        for bits, name, words in ARRAY.findall(body):
            size = int(words) + 1, int(bits) + 1
            if size[0] * size[1] >= least_bits:
                row = {"in": module, "name": name.lstrip("\\"), "copies": copies}
                left.append(row | {"words": size[0], "bits": size[1]})
    models = "\n".join(kind.verilog() for kind in sorted(kinds))
    return MacroMachine(texts, models, tuple(placed), tuple(left))


def _wrapper(around: BusChoice, config: MachineConfig) -> str:
    with tempfile.TemporaryDirectory(prefix="sparnn-") as place:
        around.write(Path(place), config)
        return (Path(place) / WRAPPER).read_text(encoding="utf-8")


def _row(kind: MemoryMacro, module: str, name: str, copies: int) -> dict[str, Any]:
    return {"module": kind.name, "in": module, "name": name, "copies": copies, **asdict(kind)}


def write_macros(folder: Path, output: Path, least_bits: int = LEAST_BITS) -> list[str]:
    """Write the machine of a folder with its memories apart: ``sparnn.v``, ``sparnn_bus.v`` where
    it has one, ``sparnn_memories.v``, ``memories.json`` and a manifest. Lines for the user.

    Raises
    ------
    SparnnError: the folder was not written by compile or emit, or ``output`` holds something else.
    """
    if output.absolute() == folder.absolute():
        raise SparnnError(f"-o {output} is the folder that is read: name another one")
    config, around = _machine(folder)
    with progress("Writing Verilog, memories apart"):
        found = macro_machine(config, least_bits, around)
    content = {"least_bits": least_bits, "memories": found.placed, "left": found.left}
    with written_aside(output) as aside:
        for name, verilog in (*found.texts.items(), (MODELS, found.models)):
            (aside / name).write_text(verilog, encoding="utf-8")
        (aside / LIST).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        text = manifest_text(
            command="macros",
            options={"least_bits": least_bits} | (around.options if around is not None else {}),
            config=config,
            files=file_hashes(aside),
        )
        (aside / MANIFEST).write_text(text, encoding="utf-8")
    return [*found.lines(), f"written        {output}"]


def harsh(verilog: str) -> str:
    """With registers that start at the complement of what the Verilog says: what is right in a
    simulation then hangs on reset alone, as on a chip."""
    return _START.sub(r"\1 ~\2;", verilog)


def harsh_verilog(config: MachineConfig) -> str:
    """A machine of :func:`macro_machine`, :func:`harsh`, and the models of its memories."""
    found = macro_machine(config)
    return f"{harsh(found.texts[MACHINE])}\n{found.models}"


def macro_file(folder: Path) -> Path:
    """:func:`harsh_verilog` of a folder's machine, in a file that is kept.

    Raises
    ------
    SparnnError: the folder was not written by compile or emit.
    """
    config, _ = _machine(folder)

    def make(folder: Path) -> None:
        (folder / MACHINE).write_text(harsh_verilog(config), encoding="utf-8")

    key = key_of(sources("hdl"), Path(__file__).read_bytes(), config.MACHINE, repr(config))
    return kept("macros", key, make) / MACHINE


def _machine(folder: Path) -> tuple[MachineConfig, BusChoice | None]:
    manifest = read_manifest(folder)
    try:
        options = manifest["options"]
        around = bus_choice(options.get("bus"), options.get("bus_bits"))
        return machine_config(manifest["machine"], manifest["config"]), around
    except (AttributeError, KeyError, TypeError):
        raise SparnnError(
            f"{folder / MANIFEST} says no machine of this version: compile the model again"
        ) from None
