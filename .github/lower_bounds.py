"""Constraints for pip: every dependency of a pyproject.toml at its lower bound.

    python lower_bounds.py pyproject.toml > lowest.txt
    PIP_CONSTRAINT=lowest.txt make test

Tools that only judge the source (ruff, mypy and their stubs) stay as they are: they are no part of
what users install, and their bounds are one minor version wide.
"""

import re
import sys
import tomllib
from pathlib import Path

EXTRAS = ("test", "synth")
#: `name[extra]>=1.2,<2`, `name==1.2.*`: the name and the first version that it allows.
BOUND = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*(?:>=|==)\s*([0-9][0-9A-Za-z.]*)")


def lower_bounds(pyproject: Path) -> list[str]:
    """One `name==version` for each dependency with a bound, sorted by name."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    wanted = list(project["dependencies"])
    for extra in EXTRAS:
        wanted += project["optional-dependencies"][extra]
    found = {}
    for requirement in wanted:
        match = BOUND.match(requirement)
        if match is None:
            raise SystemExit(f"{requirement!r} has no lower bound: name one in {pyproject}")
        name, version = match[1], match[2].rstrip(".")
        # Versions of YoWASP's packages end in the number of a build, and of some projects the
        # very first release of a major version was taken back: there the newest one within it.
        loose = requirement.endswith(".*") or name.startswith("yowasp-") or "." not in version
        found[name] = f"{name}=={version}{'.*' if loose else ''}"
    return [found[name] for name in sorted(found)]


if __name__ == "__main__":
    print("\n".join(lower_bounds(Path(sys.argv[1]))))
