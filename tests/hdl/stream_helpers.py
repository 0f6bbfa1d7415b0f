"""Drive and watch streams in Amaranth's simulator: random idles, back-pressure, a watchdog."""

import random
from collections.abc import Callable, Iterable
from typing import Any

from amaranth.hdl import Const, Elaboratable
from amaranth.sim import Simulator

__all__ = ["collect", "get", "plain", "put", "run", "send"]


def plain(value: Any) -> Any:
    """A payload read from the simulator as plain Python: a dictionary for a structure."""
    if hasattr(value, "shape") and hasattr(value.shape(), "members"):
        return {name: plain(value[name]) for name in value.shape().members}
    if isinstance(value, Const):
        return value.value
    return value


async def put(ctx: Any, stream: Any, payload: Any) -> None:
    """One transfer into a stream. Call right after a clock edge."""
    ctx.set(stream.payload, payload)
    ctx.set(stream.valid, 1)
    await ctx.tick().until(stream.ready)
    ctx.set(stream.valid, 0)


async def get(ctx: Any, stream: Any) -> Any:
    """One transfer out of a stream, as plain Python."""
    ctx.set(stream.ready, 1)
    (payload,) = await ctx.tick().sample(stream.payload).until(stream.valid)
    ctx.set(stream.ready, 0)
    return plain(payload)


async def send(
    ctx: Any,
    stream: Any,
    payloads: Iterable[Any],
    *,
    idle: float = 0.0,
    seed: int = 0,
    at: list[int] | None = None,
    clock: Callable[[], int] | None = None,
) -> None:
    """All payloads in order; before each cycle's offer, idle with this probability.

    With ``at`` and ``clock`` the cycle of every transfer is appended to ``at``.
    """
    rng = random.Random(seed)
    for payload in payloads:
        while rng.random() < idle:
            await ctx.tick()
        await put(ctx, stream, payload)
        if at is not None and clock is not None:
            at.append(clock())


async def collect(
    ctx: Any,
    stream: Any,
    count: int,
    *,
    stall: float = 0.0,
    seed: int = 1,
    at: list[int] | None = None,
    clock: Callable[[], int] | None = None,
) -> list[Any]:
    """``count`` payloads. In each cycle ready is low with probability ``stall``.

    Checks that a valid payload that was not taken stays, unchanged. ``ready`` is drawn without a
    look at ``valid``, as a stream allows.
    """
    rng = random.Random(seed)
    taken: list[Any] = []
    held: Any = None
    while len(taken) < count:
        ready = rng.random() >= stall
        ctx.set(stream.ready, ready)
        _, _, valid, payload = await ctx.tick().sample(stream.valid, stream.payload)
        if held is not None:
            assert valid, "valid was taken back"
            assert plain(payload) == held, "the payload changed while it waited"
        held = None
        if valid and ready:
            taken.append(plain(payload))
            if at is not None and clock is not None:
                at.append(clock())
        elif valid:
            held = plain(payload)
    ctx.set(stream.ready, 0)
    return taken


def run(
    dut: Elaboratable,
    *benches: Callable[[Any], Any],
    background: Iterable[Callable[[Any], Any]] = (),
    cycles: int = 100_000,
) -> None:
    """Simulate until all ``benches`` have returned; fail after ``cycles`` clock cycles."""
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    waiting = len(benches)

    def counted(bench: Callable[[Any], Any]) -> Callable[[Any], Any]:
        async def wrapper(ctx: Any) -> None:
            nonlocal waiting
            await bench(ctx)
            waiting -= 1

        return wrapper

    async def watchdog(ctx: Any) -> None:
        for _ in range(cycles):
            await ctx.tick()
            if not waiting:
                return
        raise AssertionError(f"{waiting} test benches still wait after {cycles} cycles")

    for bench in benches:
        simulator.add_testbench(counted(bench))
    for bench in background:
        simulator.add_testbench(bench, background=True)
    simulator.add_testbench(watchdog)
    simulator.run()
