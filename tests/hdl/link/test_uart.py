"""The two halves of the UART: each against the definition of 8N1, at the edges of the rates."""

import random

import pytest

from sparnn.hdl.errors import ConfigurationError
from sparnn.hdl.link.protocol import uart_divisor
from sparnn.hdl.link.uart_receiver import UartReceiver
from sparnn.hdl.link.uart_transmitter import UartTransmitter
from tests.hdl.stream_helpers import run, send

DIVISORS = (4, 5, 8, 25)


def levels(byte: int) -> list[int]:
    """8N1: start bit, data bits, least significant first, stop bit."""
    return [0, *(byte >> k & 1 for k in range(8)), 1]


def received(divisor: int, edges: list[tuple[float, int]], until: float) -> tuple[list[int], int]:
    """What a receiver makes of a line that takes these levels at these times (cycles)."""
    dut = UartReceiver(divisor)
    found: list[int] = []
    broken = 0

    async def line(ctx):
        nonlocal broken
        at = 0
        for cycle in range(int(until) + 4 * divisor):
            while at < len(edges) and edges[at][0] <= cycle:
                ctx.set(dut.line, edges[at][1])
                at += 1
            _, _, valid, byte, bad = await ctx.tick().sample(dut.valid, dut.byte, dut.broken)
            assert not (valid and bad)
            if valid:
                found.append(byte)
            broken += bad

    run(dut, line, cycles=200_000)
    return found, broken


def edges_of(data: bytes, bit: float, start: float, pause: float = 0.0) -> tuple[list, float]:
    edges, at = [(0.0, 1)], start
    for byte in data:
        for level in levels(byte):
            edges.append((at, level))
            at += bit
        at += pause
    return edges, at


@pytest.mark.parametrize("off", [-1, 0, 1])
@pytest.mark.parametrize("divisor", DIVISORS)
def test_receives_at_rates_that_are_off(divisor: int, off: int) -> None:
    """Every phase, no pause; the sender is up to 3.5 % fast or slow, 2 % with few cycles a bit."""
    rate = 1 + off * (0.035 if divisor >= 8 else 0.02)
    rng = random.Random(divisor)
    data = bytes([0, 255, 0x55, 0xAA, 1, 128, *rng.randbytes(4)])
    for phase in (0.1, 0.4, 0.7):
        edges, end = edges_of(data, divisor * rate, 3 * divisor + phase)
        assert received(divisor, edges, end) == (list(data), 0)


@pytest.mark.parametrize("divisor", DIVISORS)
def test_pauses_and_glitches(divisor: int) -> None:
    data = bytes([0x00, 0x5A, 0xFF, 0x31])
    edges, end = edges_of(data, divisor, 20.0, pause=3.3 * divisor)
    glitch = [(end + 5, 0), (end + 5 + max(1, divisor // 2 - 1), 1)]
    again, end = edges_of(b"\x3c", divisor, end + 20 + 2 * divisor)
    assert received(divisor, edges + glitch + again[1:], end) == ([*data, 0x3C], 0)


@pytest.mark.parametrize("divisor", DIVISORS)
def test_a_byte_without_stop_bit(divisor: int) -> None:
    """It is reported once, and the line must rise before the next start bit."""
    long_low = [(0.0, 1), (10.0, 0), (10.0 + 40 * divisor, 1)]
    edges, end = edges_of(b"\x42\x99", divisor, 10.0 + 43 * divisor)
    assert received(divisor, long_low + edges[1:], end) == ([0x42, 0x99], 1)


@pytest.mark.parametrize("idle", [0.0, 0.9])
@pytest.mark.parametrize("divisor", DIVISORS)
def test_transmits(divisor: int, idle: float) -> None:
    """The line, cycle by cycle: every bit has its length, the stop bit at least that."""
    dut = UartTransmitter(divisor)
    data = [0, 255, 0x55, 0xC3]
    line: list[int] = []

    async def watch(ctx):
        while True:
            *_, level = await ctx.tick().sample(dut.line)
            line.append(level)

    async def source(ctx):
        await send(ctx, dut.bytes, data, idle=idle)
        await ctx.tick().repeat(11 * divisor)

    run(dut, source, background=[watch], cycles=10_000)
    at = 0
    for byte in data:
        at = line.index(0, at)
        for level in levels(byte):
            assert line[at : at + divisor] == [level] * divisor
            at += divisor
        if not idle and byte != data[-1]:
            assert line[at : at + 2] == [1, 0]  # one cycle more
    assert set(line[at:]) == {1}


def test_divisors() -> None:
    assert uart_divisor(25e6, 1e6) == 25
    assert uart_divisor(48e6, 115200) == 417
    with pytest.raises(ConfigurationError, match=r"3e\+06 baud needs a clock of at least 12 MHz"):
        uart_divisor(10e6, 3e6)
    with pytest.raises(ConfigurationError, match=r"is off by -?\d\.\d %, more than 2 %"):
        uart_divisor(27e6, 5e6)
