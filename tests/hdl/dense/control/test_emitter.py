"""The emitter beside the packets of each step, with a store that is busy and a host that waits."""

from typing import Any

import numpy as np
import pytest

from sparnn.hdl.dense.config import DenseConfig
from sparnn.hdl.dense.control.emitter import Emitter
from sparnn.hdl.host.protocol import Response, header
from tests.hdl.stream_helpers import collect, run


def make_config(**changes: int) -> DenseConfig:
    parameters = {"lanes": 8, "banks": 2, "width": 8, "slices": 2, "store_depth": 256}
    return DenseConfig(**(parameters | changes))


class Layer:
    """A layer whose outputs lie somewhere in a store of random bits."""

    def __init__(self, config: DenseConfig, rng: np.random.Generator, **fixed: int) -> None:
        word = config.word
        units = int(rng.choice((1, word, word + 1, rng.integers(1, 5 * word))))
        self.wide = int(rng.integers(2))
        self.steps = int(rng.integers(1, 6))
        words = -(-units // word)
        self.fields = {
            "units": units,
            "wide": self.wide,
            "emit": 1,
            "emit_last": int(rng.integers(3) == 0),
            "out_words": words,
            "out_stride": words * (1 + self.wide) + int(rng.integers(2)),
            "out_base": int(rng.integers(100)),
            "last_hidden": int(rng.integers(2)),
            "hidden_base": 200,
        } | fixed

    def packets(self, config: DenseConfig, store: list[int]) -> list[int]:
        """All words for the host, by docs/machine.md."""
        layer, bits, found = self.fields, config.activation_bits, []
        for step in range(self.steps):
            last = step + 1 == self.steps
            if not layer["emit"] or (layer["emit_last"] and not last):
                continue
            found.append(header(Response.RESULT, layer["units"]))
            base = layer["out_base"] + step * layer["out_stride"]
            if last and layer["last_hidden"]:
                base = layer["hidden_base"]
            for unit in range(layer["units"]):
                place, part = base + unit // config.word, unit % config.word
                value = store[place] >> bits * part & (1 << bits) - 1
                length = bits
                if self.wide:
                    above = store[place + layer["out_words"]] >> bits * part & (1 << bits) - 1
                    value, length = (value | above << bits) & 0xFFFF, 16
                found.append((value - (value >> length - 1 << length)) & 0xFFFFFFFF)
        return found


@pytest.mark.parametrize(("busy", "stall"), [(0.0, 0.0), (0.6, 0.0), (0.3, 0.5)])
@pytest.mark.parametrize(
    "changes",
    [
        {"width": 1, "gate_depth": 4, "slices": 1},
        {"activation_bits": 11},
        {"activation_bits": 16, "width": 4, "slices": 1},
    ],
)
def test_packets(changes: dict[str, int], busy: float, stall: float) -> None:
    """Layers of all lengths, one after the other: steps come while earlier ones are being sent."""
    config = make_config(**changes)
    rng = np.random.default_rng([config.word, config.activation_bits, int(10 * busy)])
    dut = Emitter(config)
    store = [int(rng.integers(1 << 62)) for _ in range(config.store_depth)]
    store = [value % (1 << config.store_entry_bits) for value in store]
    layers = [Layer(config, rng) for _ in range(8)]
    layers += [Layer(config, rng, emit=0), Layer(config, rng, emit_last=1, last_hidden=1)]
    done = False

    async def memory(ctx: Any) -> None:
        """Grants a word in some cycles; gives it one cycle later, and noise otherwise."""
        noise = np.random.default_rng(3)
        while True:
            ready = noise.random() >= busy
            ctx.set(dut.store_ready, ready)
            _, _, asked, address = await ctx.tick().sample(dut.store_en, dut.store_addr)
            given = store[address] if asked and ready else int(noise.integers(1 << 8))
            ctx.set(dut.store_data, given)

    async def check(ctx: Any) -> None:
        nonlocal done
        for number, layer in enumerate(layers):
            wanted = layer.packets(config, store)
            ctx.set(dut.layer, layer.fields)
            ctx.set(dut.steps, layer.steps)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            assert ctx.get(dut.idle)
            stepped.append(layer.steps)
            assert await collect(ctx, dut.words, len(wanted), stall=stall, seed=number) == wanted
            ctx.set(dut.words.ready, 1)
            for _ in range(400):
                await ctx.tick()
                assert not ctx.get(dut.words.valid)
                if not stepped and ctx.get(dut.idle):
                    break
            else:
                raise AssertionError("never idle")
            ctx.set(dut.words.ready, 0)
        done = True

    stepped: list[int] = []  # steps of the present layer that have not ended

    async def steps(ctx: Any) -> None:
        gaps = np.random.default_rng(4)
        while not done:
            if stepped and gaps.random() < 0.2:
                ctx.set(dut.step, 1)
                await ctx.tick()
                ctx.set(dut.step, 0)
                assert not ctx.get(dut.idle)  # from the cycle after it
                stepped[0] -= 1
                if not stepped[0]:
                    stepped.pop()
            else:
                await ctx.tick()

    run(dut, check, steps, background=[memory], cycles=20_000)
