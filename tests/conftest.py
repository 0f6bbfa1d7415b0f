"""Fixtures for all tests."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Most tests run for some thousand cycles: what they simulate is quick to build. Those that run for
# long ask for the usual build (the fixture `optimized`).
os.environ.setdefault("SPARNN_BUILD", "quick")

# A slow machine is not a failing test; a failing example is printed so that it can be replayed.
settings.register_profile("sparnn", deadline=None, print_blob=True)
settings.load_profile("sparnn")

Completed = subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The top folder of the repository."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def optimized() -> Iterator[None]:
    """Simulations that are built from now on are quick to run; of a long file's first fixture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARNN_BUILD", "")
        yield


@pytest.fixture
def sparnn(tmp_path: Path) -> Callable[..., Completed]:
    """Run the installed command in an empty folder: `sparnn("golden", "DIR")`."""

    def run(*arguments: str, env: dict[str, str] | None = None, cwd: Path = tmp_path) -> Completed:
        return subprocess.run(
            [sys.executable, "-m", "sparnn.gen.cli", *arguments],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run
