"""Proofs by induction in plain Yosys: no solver but its own."""

from pathlib import Path
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import Assert, Assume, Const, Module, Signal

from sparnn.gen.synth.yosys import run_yosys

__all__ = ["Properties", "prove"]

NEVER = Const(0, 1)


class Properties:
    """A module to which properties are added; ``before`` remembers the cycle before."""

    def __init__(self, dut: Any) -> None:
        self.m = Module()
        self.m.submodules.dut = dut

    def before(self, value: Any) -> Signal:
        """The value a cycle ago, 0 in the first one and after a reset."""
        past = Signal(len(value))
        self.m.d.sync += past.eq(value)
        return past

    def always(self, condition: Any) -> None:
        """To be proven for every cycle; a single bit."""
        assert len(condition) == 1
        self.m.d.comb += Assert(condition)

    def given(self, condition: Any) -> None:
        """To be taken for granted in every cycle."""
        self.m.d.comb += Assume(condition)

    def stands(self, valid: Any, ready: Any, *payload: Any, unless: Any = NEVER) -> None:
        """What is offered stays as it is until it is taken. The first three are single bits."""
        assert len(valid) == len(ready) == len(unless) == 1
        held = self.before(valid & ~ready & ~unless)
        self.always(~held | valid | unless)
        for one in payload:
            self.always(~held | (one == self.before(one)) | unless)


def prove(properties: Properties, ports: list[Any], folder: Path, *, steps: int = 12) -> None:
    """Prove all properties, from reset on, by induction over up to so many cycles.

    Parameters
    ----------
    ports: the inputs that are free, and what is looked at.
    """
    text = rtlil.convert(properties.m, ports=ports)
    (folder / "proof.il").write_text(text, encoding="utf-8")
    log = run_yosys(
        [
            "read_rtlil proof.il",
            "prep -flatten -top top",
            "memory_map",
            "chformal -lower",
            "async2sync",
            "dffunmap",
            "opt -full",
            "select -assert-min 1 t:$assert",
            f"sat -tempinduct -prove-asserts -set-assumes -verify -seq 1 -maxsteps {steps}",
        ],
        folder,
        "Proving",
    )
    assert "Induction step proven: SUCCESS!" in log, log[-3000:]
