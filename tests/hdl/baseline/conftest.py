"""Fixtures for the baselines' components."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from sparnn.hdl.baseline import array, group
from sparnn.hdl.baseline.config import BaselineConfig
from tests.hdl.common.placing import place_components


@pytest.fixture
def placed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have the array and its groups hold their parts themselves, so that they can be simulated.

    The parts are those of ``baseline_verilog``. Call it once, before the component is elaborated.
    With ``nested`` the reset's registers are left out, since groups within an array would be clock
    domains of one name within each other.
    """

    def parts(config: BaselineConfig) -> list[Any]:
        with monkeypatch.context() as context:

            def keep(found: Iterable[Any]) -> Any:
                return list(found)

            context.setattr(array, "modules_verilog", keep)
            return array.baseline_verilog(config)

    def for_array(config: BaselineConfig, nested: bool = True) -> None:
        place_components(monkeypatch, lambda: parts(config))
        for one in (array, group) if nested else ():
            monkeypatch.setattr(one, "with_registered_reset", lambda core: core)

    return for_array
