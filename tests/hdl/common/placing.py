"""Runs what places Verilog modules in Amaranth's simulator: the real components take their
place."""

import sys
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring

from sparnn.hdl.common import instance

__all__ = ["place_components"]


def place_components(
    monkeypatch: pytest.MonkeyPatch,
    parts: Callable[[], Iterable[tuple[wiring.Component, str]]],
) -> None:
    """From now on ``place`` makes a submodule of a new component in place of a Verilog instance.

    Parameters
    ----------
    parts: makes every component and the name of its module; called for each one that is placed.
    """
    original = instance.place

    def place(m: Module, name: str, signature: wiring.Signature, module: str) -> Any:
        made = {title: part for part, title in parts()}
        component = made.pop(module)
        for spare in made.values():
            spare._MustUse__used = True  # else Amaranth warns of them
        # The instance's ports are those of the module that is emitted under this name.
        assert component.signature == signature
        m.submodules[name] = component
        return component

    for title, one in list(sys.modules.items()):
        if title.startswith("sparnn.hdl.") and getattr(one, "place", None) is original:
            monkeypatch.setattr(one, "place", place)
