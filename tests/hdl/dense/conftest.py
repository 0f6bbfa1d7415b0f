"""Fixtures for the dense machine's components."""

from collections.abc import Callable

import pytest

from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.dense.parts import dense_parts
from tests.hdl.common.placing import place_components


@pytest.fixture
def placed(monkeypatch: pytest.MonkeyPatch) -> Callable[[DenseConfig], None]:
    """Have the components of a machine hold the others themselves, so that they can be simulated.

    Call it once in a test, before the component is elaborated.
    """

    def for_machine(config: DenseConfig) -> None:
        place_components(monkeypatch, lambda: dense_parts(config, "top"))

    return for_machine
