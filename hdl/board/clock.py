"""Which clocks a board's PLL can make, and how: one planner per FPGA family."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from sparnn.hdl.errors import ConfigurationError

__all__ = ["PLL_FAMILIES", "ClockPlan", "plan_clock", "reachable_mhz"]

#: A clock that is off by no more than this is taken for what was asked.
TOLERANCE = Fraction(1, 1000)


@dataclass(frozen=True)
class ClockPlan:
    """A PLL's settings.

    Members
    -------
    family: of the PLL; "" for none: the board's clock as it is.
    input_mhz, output_mhz: exact.
    settings: parameters of the family's primitive, see :mod:`sparnn.hdl.board.pll`.
    """

    family: str
    input_mhz: Fraction
    output_mhz: Fraction
    settings: Mapping[str, int] = field(default_factory=dict)


def _ecp5(source: Fraction) -> Iterator[ClockPlan]:
    """EHXPLLL, feedback from CLKOP: detector 3.125-400 MHz, VCO 400-800 MHz (FPGA-DS-02012)."""
    for clki in range(1, 129):
        detector = source / clki
        if not Fraction(25, 8) <= detector <= 400:
            continue
        for clkfb in range(1, 81):
            output = detector * clkfb
            if output > 400:
                break
            # The VCO as near 600 MHz as can be.
            divider = max(1, min(128, round(600 / output)))
            if 400 <= output * divider <= 800:
                settings = {"clki_div": clki, "clkfb_div": clkfb, "clkop_div": divider}
                yield ClockPlan("ecp5", source, output, settings)


def _ice40(source: Fraction) -> Iterator[ClockPlan]:
    """SB_PLL40, simple feedback: detector 10-133 MHz, VCO 533-1066 MHz, output 16-275 MHz."""
    for divr in range(16):
        detector = source / (divr + 1)
        if not 10 <= detector <= 133:
            continue
        for divf in range(128):
            vco = detector * (divf + 1)
            if not 533 <= vco <= 1066:
                continue
            for divq in range(1, 7):
                output = vco / (1 << divq)
                if 16 <= output <= 275:
                    settings = {"divr": divr, "divf": divf, "divq": divq}
                    settings["filter_range"] = _ice40_filter(detector)
                    yield ClockPlan("ice40", source, output, settings)


def _ice40_filter(detector: Fraction) -> int:
    for number, limit in enumerate((17, 26, 44, 66, 101), start=1):
        if detector < limit:
            return number
    return 6


def _gowin(source: Fraction) -> Iterator[ClockPlan]:
    """rPLL of GW1N(R)-9C, C6/I5: detector 3-400 MHz, VCO 400-1200 MHz, output 3.125-600 MHz."""
    for idiv in range(64):
        detector = source / (idiv + 1)
        if not 3 <= detector <= 400:
            continue
        for fbdiv in range(64):
            output = detector * (fbdiv + 1)
            if not Fraction(25, 8) <= output <= 600:
                continue
            for odiv in (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128):
                if 400 <= output * odiv <= 1200:
                    settings = {"idiv_sel": idiv, "fbdiv_sel": fbdiv, "odiv_sel": odiv}
                    yield ClockPlan("gowin", source, output, settings)
                    break


def _xilinx7(source: Fraction) -> Iterator[ClockPlan]:
    """PLLE2_BASE, speed -1: detector 19-450 MHz, VCO 800-1600 MHz (DS181)."""
    for divclk in range(1, 57):
        detector = source / divclk
        if not 19 <= detector <= 450:
            continue
        for mult in range(2, 65):
            vco = detector * mult
            if not 800 <= vco <= 1600:
                continue
            for divide in range(1, 129):
                settings = {"divclk_divide": divclk, "clkfbout_mult": mult, "divide": divide}
                yield ClockPlan("xilinx7", source, vco / divide, settings)


PLL_FAMILIES: Mapping[str, Callable[[Fraction], Iterator[ClockPlan]]] = {
    "ecp5": _ecp5,
    "ice40": _ice40,
    "gowin": _gowin,
    "xilinx7": _xilinx7,
}


def reachable_mhz(family: str, input_mhz: float) -> list[float]:
    """Every frequency that the family's PLL makes of a board's clock, and that clock itself."""
    source = Fraction(input_mhz).limit_denominator(1000)
    found = {plan.output_mhz for plan in PLL_FAMILIES[family](source)} | {source}
    return [float(frequency) for frequency in sorted(found)]


def plan_clock(family: str, input_mhz: float, output_mhz: float) -> ClockPlan:
    """The settings for a frequency; the board's own clock needs no PLL.

    Raises
    ------
    ConfigurationError: none comes within 0.1 %; the nearest are named.
    """
    source = Fraction(input_mhz).limit_denominator(1000)
    wanted = Fraction(output_mhz).limit_denominator(1000)
    if source == wanted:
        return ClockPlan("", source, source)
    plans = list(PLL_FAMILIES[family](source))
    best = min(
        plans,
        key=lambda plan: (abs(plan.output_mhz - wanted), *plan.settings.values()),
        default=None,
    )
    if best is None or abs(best.output_mhz - wanted) > wanted * TOLERANCE:
        frequencies = reachable_mhz(family, input_mhz)
        below = [one for one in frequencies if one < wanted]
        above = [one for one in frequencies if one > wanted]
        near = " and ".join(f"{one:g} MHz" for one in (below[-1:] + above[:1]))
        raise ConfigurationError(
            f"clock: the {family} PLL cannot make {output_mhz:g} MHz of {input_mhz:g} MHz; the "
            f"nearest are {near}"
        )
    return best
