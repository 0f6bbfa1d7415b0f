"""The machines that the tests of the dense machine share, each built once."""

from pathlib import Path

import pytest
from support.dense_machine import MASKED, NARROW, SMALL, tile_folder

from sparnn.hdl.dense.config import DenseConfig


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tile_folder(tmp_path_factory, SMALL)


@pytest.fixture(
    scope="session",
    params=[pytest.param(n, marks=[pytest.mark.deep] if n == 2 else []) for n in NARROW],
)
def narrow(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> tuple[Path, DenseConfig]:
    config = NARROW[request.param]
    return tile_folder(tmp_path_factory, config), config


@pytest.fixture(scope="session")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tile_folder(tmp_path_factory, MASKED)
