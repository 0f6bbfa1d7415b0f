"""PLL plans: the families' equations and limits, checked apart from the planner's search."""

from fractions import Fraction

import pytest

from sparnn.hdl.board.clock import PLL_FAMILIES, plan_clock, reachable_mhz
from sparnn.hdl.errors import ConfigurationError


def outcome(family: str, source: Fraction, s) -> tuple[Fraction, Fraction, Fraction]:
    """Detector, VCO and output frequency by the vendor's formula."""
    if family == "ecp5":
        detector = source / s["clki_div"]
        return detector, detector * s["clkfb_div"] * s["clkop_div"], detector * s["clkfb_div"]
    if family == "ice40":
        detector = source / (s["divr"] + 1)
        vco = detector * (s["divf"] + 1)
        return detector, vco, vco / 2 ** s["divq"]
    if family == "gowin":
        detector = source / (s["idiv_sel"] + 1)
        output = detector * (s["fbdiv_sel"] + 1)
        return detector, output * s["odiv_sel"], output
    detector = source / s["divclk_divide"]
    vco = detector * s["clkfbout_mult"]
    return detector, vco, vco / s["divide"]


LIMITS = {
    "ecp5": (3.125, 400, 400, 800),
    "ice40": (10, 133, 533, 1066),
    "gowin": (3, 400, 400, 1200),
    "xilinx7": (19, 450, 800, 1600),
}


@pytest.mark.parametrize(
    ("family", "source"),
    [("ecp5", 25), ("ecp5", 100), ("ice40", 12), ("gowin", 27), ("xilinx7", 100)],
)
def test_every_plan_keeps_the_limits(family: str, source: int) -> None:
    low, high, slowest, fastest = LIMITS[family]
    plans = list(PLL_FAMILIES[family](Fraction(source)))
    assert len(plans) > 50
    for plan in plans:
        detector, vco, output = outcome(family, Fraction(source), plan.settings)
        assert low <= detector <= high
        assert slowest <= vco <= fastest
        assert output == plan.output_mhz


@pytest.mark.parametrize(
    ("family", "source", "wanted"),
    [
        ("ecp5", 25, 50),
        ("ecp5", 25, 62.5),
        ("ecp5", 100, 125),
        ("ice40", 12, 24),
        ("gowin", 27, 54),
        ("xilinx7", 100, 80),
    ],
)
def test_found(family: str, source: int, wanted: float) -> None:
    plan = plan_clock(family, source, wanted)
    assert abs(float(plan.output_mhz) - wanted) <= wanted / 1000
    assert wanted in reachable_mhz(family, source)


def test_as_icepll_and_ecppll() -> None:
    """What the tools of the projects icestorm and trellis choose."""
    assert dict(plan_clock("ice40", 12, 24).settings) == {
        "divr": 0,
        "divf": 63,
        "divq": 5,
        "filter_range": 1,
    }
    assert dict(plan_clock("ecp5", 25, 50).settings) == {
        "clki_div": 1,
        "clkfb_div": 2,
        "clkop_div": 12,
    }


def test_without_pll() -> None:
    assert plan_clock("ice40", 12, 12).family == ""


def test_out_of_reach() -> None:
    with pytest.raises(
        ConfigurationError,
        match=r"cannot make 31\.4159 MHz of 27 MHz; the nearest are 30\.8571 MHz and 31\.5 MHz",
    ):
        plan_clock("gowin", 27, 31.4159)
    with pytest.raises(ConfigurationError, match=r"the nearest are 270 MHz$"):
        plan_clock("ice40", 12, 4000)
