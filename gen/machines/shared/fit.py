"""Memories of a machine enlarged to what a network needs."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from sparnn.hdl.common.numbers import clog2
from sparnn.hdl.machine import MachineConfig

__all__ = ["enlarge"]


#: Of the machine at hand.
Config = TypeVar("Config", bound=MachineConfig)


def enlarge(config: Config, needs: Mapping[str, int]) -> Config:
    """The machine with each named memory parameter enlarged to a power of two that holds the need.

    Parameters
    ----------
    needs: parameter (a depth, ``rows``, ``columns``, an option that is 0 or 1) -> entries. None
        shrinks.

    Raises
    ------
    ConfigurationError: a need is beyond what any machine may have.
    """
    return replace(
        config,
        **{name: 1 << clog2(need) for name, need in needs.items() if need > getattr(config, name)},
    )
