"""`sparnn emit`: the hardware alone, for any network that fits it."""

from pathlib import Path

from sparnn.gen.machines.verilog import kept_verilog
from sparnn.gen.output.folder import check_replaceable, written_aside
from sparnn.gen.output.header import header_text
from sparnn.gen.output.manifest import MANIFEST, file_hashes, manifest_text
from sparnn.hdl.machine import MachineConfig
from sparnn.sim.progress import progress

from .backend import backend
from .bus import bus_choice
from .presets import is_file, load_machine

__all__ = ["config_option", "emit", "write_verilog"]

VERILOG = "sparnn.v"
HEADER = "sparnn.h"


def emit(
    output: Path,
    *,
    config: str | None = None,
    lanes: int | None = None,
    weight_bits: int | None = None,
    activation_bits: int | None = None,
    split_scales: bool | None = None,
    width: int | None = None,
    masks: bool | None = None,
    bus: str | None = None,
    bus_bits: int | None = None,
) -> list[str]:
    """Write the Verilog, the C header and the manifest of a machine.

    Parameters
    ----------
    config, lanes, weight_bits, activation_bits, split_scales, width, masks: see
        :func:`~sparnn.gen.machines.presets.load_machine`.
    bus, bus_bits: see :func:`~sparnn.gen.machines.bus.bus_choice`.

    Returns
    -------
    Lines for the user.

    Raises
    ------
    SparnnError, ConfigurationError: a bad configuration, or a folder that holds something else.
    """
    around = bus_choice(bus, bus_bits)
    machine = load_machine(
        config,
        lanes,
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        split_scales=split_scales,
        width=width,
        masks=masks,
    )
    check_replaceable(output)
    with written_aside(output) as folder:
        size = write_verilog(folder, machine)
        (folder / HEADER).write_text(header_text(machine), encoding="utf-8")
        if around is not None:
            around.write(folder, machine)
        text = manifest_text(
            command="emit",
            options={
                "config": config_option(config),
                "lanes": lanes,
                "weight_bits": weight_bits,
                "activation_bits": activation_bits,
                "split_scales": split_scales,
                **({} if width is None else {"width": width}),
                **({} if masks is None else {"masks": masks}),
                **(around.options if around is not None else {}),
            },
            config=machine,
            files=file_hashes(folder),
        )
        (folder / MANIFEST).write_text(text, encoding="utf-8")
    return [
        *backend(machine).lines(machine),
        f"Verilog        {size} bytes",
        f"written        {output}",
    ]


def write_verilog(folder: Path, config: MachineConfig) -> int:
    """Write the machine's Verilog; its size in bytes."""
    with progress(f"Writing Verilog of {config.lanes} lanes"):
        text = kept_verilog(config).encode()
    (folder / VERILOG).write_bytes(text)
    return len(text)


def config_option(config: str | None) -> str | None:
    """``--config`` for the manifest: a file by its name alone; its content is in ``config``."""
    return Path(config).name if config is not None and is_file(config) else config
