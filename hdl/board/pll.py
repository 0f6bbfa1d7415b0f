"""The PLL of each FPGA family, from a plan: the one place where vendors' primitives are named."""

from collections.abc import Callable, Mapping
from typing import Any

from amaranth.hdl import Const, Instance, Signal, Value

from .clock import ClockPlan

__all__ = ["place_pll"]


def _ecp5(plan: ClockPlan, source: Value, clock: Signal, locked: Signal, pad: bool) -> Instance:
    s = plan.settings
    return Instance(
        "EHXPLLL",
        ("a", "FREQUENCY_PIN_CLKI", f"{float(plan.input_mhz):g}"),
        ("a", "FREQUENCY_PIN_CLKOP", f"{float(plan.output_mhz):g}"),
        ("a", "ICP_CURRENT", "12"),
        ("a", "LPF_RESISTOR", "8"),
        p_PLLRST_ENA="DISABLED",
        p_INTFB_WAKE="DISABLED",
        p_STDBY_ENABLE="DISABLED",
        p_DPHASE_SOURCE="DISABLED",
        p_OUTDIVIDER_MUXA="DIVA",
        p_CLKOP_ENABLE="ENABLED",
        p_CLKOP_DIV=s["clkop_div"],
        p_CLKOP_CPHASE=s["clkop_div"] - 1,
        p_CLKOP_FPHASE=0,
        p_FEEDBK_PATH="CLKOP",
        p_CLKI_DIV=s["clki_div"],
        p_CLKFB_DIV=s["clkfb_div"],
        i_RST=Const(0, 1),
        i_STDBY=Const(0, 1),
        i_CLKI=source,
        i_CLKFB=clock,
        i_PHASESEL0=Const(0, 1),
        i_PHASESEL1=Const(0, 1),
        i_PHASEDIR=Const(1, 1),
        i_PHASESTEP=Const(1, 1),
        i_PHASELOADREG=Const(1, 1),
        i_PLLWAKESYNC=Const(0, 1),
        i_ENCLKOP=Const(0, 1),
        o_CLKOP=clock,
        o_LOCK=locked,
    )


def _ice40(plan: ClockPlan, source: Value, clock: Signal, locked: Signal, pad: bool) -> Instance:
    s = plan.settings
    # A clock that comes in on the PLL's own pad leaves no other way to it.
    name, pin = ("SB_PLL40_PAD", "PACKAGEPIN") if pad else ("SB_PLL40_CORE", "REFERENCECLK")
    return Instance(
        name,
        **{f"i_{pin}": source},
        p_FEEDBACK_PATH="SIMPLE",
        p_PLLOUT_SELECT="GENCLK",
        p_DIVR=Const(s["divr"], 4),
        p_DIVF=Const(s["divf"], 7),
        p_DIVQ=Const(s["divq"], 3),
        p_FILTER_RANGE=Const(s["filter_range"], 3),
        i_RESETB=Const(1, 1),
        i_BYPASS=Const(0, 1),
        o_PLLOUTGLOBAL=clock,
        o_LOCK=locked,
    )


def _gowin(plan: ClockPlan, source: Value, clock: Signal, locked: Signal, pad: bool) -> Instance:
    s = plan.settings
    zero, none = Const(0, 1), Const(0, 6)
    return Instance(
        "rPLL",
        p_FCLKIN=f"{float(plan.input_mhz):g}",
        p_DEVICE="GW1NR-9C",
        p_DYN_IDIV_SEL="false",
        p_DYN_FBDIV_SEL="false",
        p_DYN_ODIV_SEL="false",
        p_IDIV_SEL=s["idiv_sel"],
        p_FBDIV_SEL=s["fbdiv_sel"],
        p_ODIV_SEL=s["odiv_sel"],
        p_CLKFB_SEL="internal",
        p_CLKOUT_BYPASS="false",
        p_CLKOUTP_BYPASS="false",
        p_CLKOUTD_BYPASS="false",
        p_DYN_SDIV_SEL=2,
        p_DYN_DA_EN="false",
        p_PSDA_SEL="0000",
        p_DUTYDA_SEL="1000",
        p_CLKOUT_FT_DIR=Const(1, 1),
        p_CLKOUTP_FT_DIR=Const(1, 1),
        p_CLKOUT_DLY_STEP=0,
        p_CLKOUTP_DLY_STEP=0,
        p_CLKOUTD_SRC="CLKOUT",
        p_CLKOUTD3_SRC="CLKOUT",
        i_CLKIN=source,
        i_CLKFB=zero,
        i_RESET=zero,
        i_RESET_P=zero,
        i_FBDSEL=none,
        i_IDSEL=none,
        i_ODSEL=none,
        i_PSDA=Const(0, 4),
        i_DUTYDA=Const(0, 4),
        i_FDLY=Const(0, 4),
        o_CLKOUT=clock,
        o_LOCK=locked,
    )


def _xilinx7(plan: ClockPlan, source: Value, clock: Signal, locked: Signal, pad: bool) -> Instance:
    s = plan.settings
    feedback = Signal(name="pll_feedback")
    return Instance(
        "PLLE2_BASE",
        p_CLKIN1_PERIOD=float(1000 / plan.input_mhz),
        p_DIVCLK_DIVIDE=s["divclk_divide"],
        p_CLKFBOUT_MULT=s["clkfbout_mult"],
        p_CLKOUT0_DIVIDE=s["divide"],
        i_CLKIN1=source,
        i_CLKFBIN=feedback,
        i_RST=Const(0, 1),
        i_PWRDWN=Const(0, 1),
        o_CLKFBOUT=feedback,
        o_CLKOUT0=clock,
        o_LOCKED=locked,
    )


_MAKERS: Mapping[str, Callable[[ClockPlan, Value, Signal, Signal, bool], Any]] = {
    "ecp5": _ecp5,
    "ice40": _ice40,
    "gowin": _gowin,
    "xilinx7": _xilinx7,
}


def place_pll(
    m: Any, plan: ClockPlan, source: Value, *, pad: bool = False
) -> tuple[Signal | Value, Signal | Const]:
    """Add the PLL of a plan to a module.

    Parameters
    ----------
    source: the board's clock.
    pad: the clock comes in on the pad that belongs to the PLL (iCE40).

    Returns
    -------
    The clock, and whether it is stable.
    """
    if not plan.family:
        return source, Const(1, 1)
    clock, locked = Signal(name="pll_clock"), Signal(name="pll_locked")
    m.submodules.pll = _MAKERS[plan.family](plan, source, clock, locked, pad)
    return clock, locked
