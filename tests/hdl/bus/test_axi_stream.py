"""Packets as AXI4-Stream, in Amaranth's simulator: TLAST, and what a soft reset leaves."""

import pytest

from sparnn.hdl.bus.axi_stream import CUT, StreamPort
from sparnn.hdl.bus.faults import Fault
from sparnn.hdl.host.protocol import Opcode, Response, header
from tests.hdl.stream_helpers import run, send

RUN = [header(Response.RESULT, 2), 1, 2, header(Response.RESULT, 2), 3, 4]
DONE = [header(Response.DONE, 0), 99]
DATA = [header(Response.DATA, 3), header(Response.ERROR, 5), 6, 7]
EMPTY = [header(Response.DATA, 0)]
ERROR = [header(Response.ERROR, 7)]


async def receive(ctx, dut, count, stall=False):
    """(word, last) of so many words."""
    found = []
    while len(found) < count:
        ready = not stall or ctx.get(dut.m_axis_tdata) % 3 != len(found) % 3
        ctx.set(dut.m_axis_tready, ready)
        _, _, valid, word, last = await ctx.tick().sample(
            dut.m_axis_tvalid, dut.m_axis_tdata, dut.m_axis_tlast
        )
        if valid and ready:
            found.append((word, last))
        stall = stall and not valid
    ctx.set(dut.m_axis_tready, 0)
    return found


def test_last_word_of_each_answer():
    dut = StreamPort(1)
    answers = [RUN + DONE, DATA, EMPTY, ERROR, RUN + DONE]
    expected = [(word, k == len(answer) - 1) for answer in answers for k, word in enumerate(answer)]

    async def machine(ctx):
        await send(ctx, dut.tx, [word for answer in answers for word in answer], idle=0.3)

    async def bench(ctx):
        assert await receive(ctx, dut, len(expected)) == expected
        await ctx.tick()
        assert ctx.get(dut.jobs) == len(answers)
        assert ctx.get(dut.fault) == Fault.REFUSED
        assert ctx.get(dut.error_word) == len(RUN + DONE + DATA + EMPTY)

    run(dut, machine, bench)


@pytest.mark.parametrize("cut", [1, 4, 8])
def test_a_soft_reset_ends_the_answer_that_it_cuts(cut):
    dut = StreamPort(1)
    whole = RUN + DONE

    async def bench(ctx):
        while ctx.get(dut.resetting):
            await ctx.tick()
        ctx.set(dut.m_axis_tready, 1)
        await send(ctx, dut.tx, whole[:cut])
        ctx.set(dut.m_axis_tready, 0)
        ctx.set(dut.soft_reset, 1)
        await ctx.tick()
        ctx.set(dut.soft_reset, 0)
        for _ in range(40):
            await ctx.tick()
        ctx.set(dut.m_axis_tready, 1)
        last = []
        for _ in range(40):
            _, _, valid, word, end = await ctx.tick().sample(
                dut.m_axis_tvalid, dut.m_axis_tdata, dut.m_axis_tlast
            )
            if valid:
                last.append((word, end))
        if cut == len(whole):
            assert last == [(whole[-1], 1)]
        else:
            assert last == [(whole[cut - 1], 0), (CUT, 1)]
        assert not ctx.get(dut.resetting)

    run(dut, bench)


def test_tlast_inside_a_packet_is_a_fault():
    dut = StreamPort(2)
    beats = [header(Opcode.SELECT, 0), header(Opcode.WRITE, 6), 1, 2]

    async def bench(ctx):
        ctx.set(dut.rx.ready, 1)
        while ctx.get(dut.resetting):
            await ctx.tick()
        for number, beat in enumerate(beats):
            ctx.set(dut.s_axis_tvalid, 1)
            ctx.set(dut.s_axis_tdata, beat)
            ctx.set(dut.s_axis_tlast, number in (0, 3))
            await ctx.tick().until(dut.s_axis_tready)
        ctx.set(dut.s_axis_tvalid, 0)
        await ctx.tick().repeat(2)
        assert ctx.get(dut.fault) == Fault.TRUNCATED
        assert ctx.get(dut.error_word) == len(beats)

    run(dut, bench)


def test_answers_have_the_tid_of_their_packet():
    dut = StreamPort(1)
    found = []

    async def bench(ctx):
        ctx.set(dut.rx.ready, 1)
        ctx.set(dut.m_axis_tready, 1)
        while ctx.get(dut.resetting):
            await ctx.tick()
        for stream_id in (3, 255, 0, 3):
            ctx.set(dut.s_axis_tid, stream_id)
            await offer(ctx, dut, header(Opcode.IDENTIFY, 0))
            ctx.set(dut.s_axis_tid, 77)  # of a packet that the machine does not take yet
            ctx.set(dut.rx.ready, 0)
            ctx.set(dut.s_axis_tvalid, 1)
            for word in [header(Response.DATA, 1), 9]:
                ctx.set(dut.tx.payload, word)
                ctx.set(dut.tx.valid, 1)
                await ctx.tick()
                ctx.set(dut.tx.valid, 0)
                found.append((ctx.get(dut.m_axis_tid), ctx.get(dut.m_axis_tlast)))
            ctx.set(dut.s_axis_tvalid, 0)
            ctx.set(dut.rx.ready, 1)
        assert ctx.get(dut.fault) == Fault.NONE
        ctx.set(dut.s_axis_tid, 1)
        await offer(ctx, dut, header(Opcode.WRITE, 2))
        ctx.set(dut.s_axis_tid, 2)
        await offer(ctx, dut, 0)
        await ctx.tick().repeat(2)
        assert ctx.get(dut.fault) == Fault.TRUNCATED

    run(dut, bench)
    assert found == [(one, last) for one in (3, 255, 0, 3) for last in (0, 1)]


async def offer(ctx, dut, word):
    ctx.set(dut.s_axis_tdata, word)
    ctx.set(dut.s_axis_tvalid, 1)
    await ctx.tick().until(dut.s_axis_tready)
    ctx.set(dut.s_axis_tvalid, 0)
