"""`make liberty`: the standard cells that logic areas refer to.

OSU's cells for TSMC 0.18 µm, as Debian's package qflow-tech-osu018 carries them: free, small and
with an area for every cell. They are not on PyPI, so they are fetched once, with apt, and checked.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from sparnn.gen.errors import SparnnError
from sparnn.sim.verilator.cache import cache_folder

__all__ = ["LIBERTY", "fetch_liberty", "find_liberty"]

LIBERTY = "osu018_stdcells.lib"
PACKAGE = "qflow-tech-osu018"
SHA256 = "86f79b2000f1ac46715a9f6dfd5f5a596906418e9ee8a8611077bbaaad3de4e9"
_INSTALLED = Path("/usr/share/qflow/tech/osu018") / LIBERTY


def find_liberty() -> Path:
    """The Liberty file: $SPARNN_LIBERTY (any library), what the system has, or what was fetched.

    Raises
    ------
    SparnnError: there is none.
    """
    named = os.environ.get("SPARNN_LIBERTY", "")
    if named:
        if not Path(named).is_file():
            raise SparnnError(f"SPARNN_LIBERTY is {named!r}, which is not a file: correct it")
        return Path(named)
    for path in (_INSTALLED, _fetched()):
        if path.is_file() and _sha256(path) == SHA256:
            return path
    raise SparnnError(
        f"the standard cells {LIBERTY} are not there: run `make liberty`, install the Debian "
        f"package {PACKAGE}, or name a Liberty file in SPARNN_LIBERTY"
    )


def fetch_liberty() -> Path:
    """Fetch the Debian package, unpack the one file into the cache; nothing is installed.

    Raises
    ------
    SparnnError: apt or dpkg is missing or fails, or the file is not the expected one.
    """
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise SparnnError(
                f"{program} is not on PATH: get {LIBERTY} from the Debian package {PACKAGE} "
                "(packages.debian.org) in another way and name it in SPARNN_LIBERTY"
            )
    with tempfile.TemporaryDirectory(prefix="sparnn-liberty-") as name:
        folder = Path(name)
        for command in (
            ["apt-get", "download", PACKAGE],
            ["sh", "-c", f"dpkg-deb -x {PACKAGE}_*.deb content"],
        ):
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode:
                said = " ".join(done.stderr.split()) or "no reason given"
                raise SparnnError(f"{' '.join(command)} failed: {said}")
        found = folder / "content" / _INSTALLED.relative_to("/")
        if not found.is_file() or _sha256(found) != SHA256:
            raise SparnnError(
                f"the {PACKAGE} of this system has another {LIBERTY} than figures refer to: name "
                "it in SPARNN_LIBERTY to use it all the same"
            )
        _fetched().parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found, _fetched())
    return _fetched()


def _fetched() -> Path:
    return cache_folder() / "liberty" / LIBERTY


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> int:
    try:
        path = find_liberty()
    except SparnnError:
        try:
            path = fetch_liberty()
        except SparnnError as error:
            print(f"sparnn: error: {error}", file=sys.stderr)
            return 2
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
