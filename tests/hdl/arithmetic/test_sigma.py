"""ActivationUnit against docs/numerics.md: every input of some formats, random ones of all."""

import random

import pytest

from sparnn.hdl.arithmetic.sigma import ActivationUnit
from sparnn.hdl.arithmetic.sigma_table import TANH_TABLE
from tests.hdl.sparse.post import model
from tests.hdl.stream_helpers import run

FUNCTIONS = (model.tanh, model.sigmoid, model.hard_sigmoid)


def check(items: list[tuple[int, int, int]], gaps: bool = False) -> None:
    """Items: value, format, and 0 for tanh, 1 for σ, 2 for the hard σ."""
    hard = any(function == 2 for *_, function in items)
    dut = ActivationUnit(meta_bits=16, with_hard=hard)
    expected = {}
    rng = random.Random(0)

    async def bench(ctx):
        answers, kind = 0, None
        ctx.set(dut.hard, hard)
        for k in range(len(items) + dut.LATENCY):
            ask = k < len(items) and not (gaps and rng.random() < 0.3)
            ctx.set(dut.request, ask)
            if ask:
                value, form, sigmoid = items[k]
                ctx.set(dut.value, value)
                ctx.set(dut.meta, k & 0xFFFF)
                if (form, sigmoid) != kind:
                    kind = form, sigmoid
                    ctx.set(dut.shift, form - 12)
                    ctx.set(dut.sigmoid, bool(sigmoid))
                expected[k] = FUNCTIONS[sigmoid](value, form)
            _, _, answer, result, meta = await ctx.tick().sample(
                dut.response, dut.result, dut.result_meta
            )
            # Sampled at the edge that ends cycle k, so the request was LATENCY cycles earlier.
            assert answer == ((k - dut.LATENCY) in expected)
            if answer:
                asked = k - dut.LATENCY
                assert meta == asked & 0xFFFF
                assert result == expected[asked], items[asked]
                answers += 1
        assert answers == len(expected) or gaps

    run(dut, bench, cycles=200_000)


@pytest.mark.parametrize(
    ("form", "sigmoid", "step"),
    [pytest.param(12, 0, 1, marks=pytest.mark.deep), (12, 0, 9), (15, 1, 5), (13, 2, 5)],
)
def test_every_input(form: int, sigmoid: int, step: int) -> None:
    """All of tanh; of σ, which is made of the same table, each fifth."""
    check([(value, form, sigmoid) for value in range(-32768, 32768, step)])


@pytest.mark.parametrize("sigma", [1, 2])
def test_all_formats(sigma: int) -> None:
    rng = random.Random(1)
    items = []
    for form in range(16):
        for sigmoid in (0, sigma):
            items += [(v, form, sigmoid) for v in (-32768, -32767, 32767, 0, 1, -1, 7, 8, -8, 24)]
            for _ in range(150):
                items.append((rng.randrange(-32768, 32768) >> rng.randrange(16), form, sigmoid))
    rng.shuffle(items)
    check(items, gaps=True)


def test_table() -> None:
    assert model.TABLE == TANH_TABLE
    assert TANH_TABLE[0] == 0
    assert TANH_TABLE[256] == 32767
