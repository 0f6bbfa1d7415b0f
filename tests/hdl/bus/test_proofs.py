"""Proofs of the buses' rules on our side: what is offered stands, bursts stay within 4 KiB."""

import pytest
from amaranth.hdl import Signal
from support.proof import Properties, prove
from support.small_network import CONFIG

from sparnn.gen.errors import SparnnError
from sparnn.hdl.bus.axi_lite import AxiLite
from sparnn.hdl.bus.axi_read import AxiReader
from sparnn.hdl.bus.axi_stream import StreamPort
from sparnn.hdl.bus.axi_write import AxiWriter
from sparnn.hdl.bus.feed import JobFeeder
from sparnn.hdl.bus.geometry import MemoryGeometry
from sparnn.hdl.bus.state_writer import StateWriter
from sparnn.hdl.bus.wishbone import Wishbone

#: Small queues: the rules do not depend on their depth.
GEOMETRY = MemoryGeometry(data_bits=64, address_bits=16, burst=4, outstanding=2)


def ports(component):
    """All of a component's ports, as plain signals."""
    return [value for _, _, value in component.signature.flatten(component)]


def burst_rules(p, geometry, address, length, valid):
    """No burst crosses 4 KiB: as bursts begin and end within a multiple of their length."""
    beat = address[geometry.beat_shift :]
    p.always(~valid | (beat[:2] + length < geometry.burst))
    p.always(~valid | (beat[: 12 - geometry.beat_shift] + length < geometry.page_beats))


def test_axi_lite(tmp_path):
    dut = AxiLite()
    p = Properties(dut)
    p.stands(dut.bvalid, dut.bready, dut.bresp)
    p.stands(dut.rvalid, dut.rready, dut.rdata, dut.rresp)
    # Each write is answered once, after both of its parts have come; each read once.
    for channels, answer in ((("aw", "w"), "b"), (("ar",), "r")):
        answers = getattr(dut, f"{answer}valid") & getattr(dut, f"{answer}ready")
        for channel in channels:
            ready = getattr(dut, f"{channel}ready")
            takes = getattr(dut, f"{channel}valid") & ready
            open_ = Signal(3)
            p.m.d.sync += open_.eq(open_ + takes - answers)
            p.always(open_ == ~ready + getattr(dut, f"{answer}valid"))
    prove(p, ports(dut), tmp_path)


def test_wishbone(tmp_path):
    dut = Wishbone()
    p = Properties(dut)
    asked = p.before(dut.cyc & dut.stb & ~dut.ack & ~dut.err)
    p.always((dut.ack | dut.err) == asked)
    p.always(~(dut.ack & dut.err))
    prove(p, ports(dut), tmp_path)


def test_reader(tmp_path):
    dut = AxiReader(GEOMETRY)
    p = Properties(dut)
    p.stands(dut.arvalid, dut.arready, dut.araddr, dut.arlen)
    word = dut.words_out
    p.stands(word.valid, word.ready, word.payload, unless=dut.stop | dut.error)
    burst_rules(p, GEOMETRY, dut.araddr, dut.arlen, dut.arvalid)
    p.given(~dut.start | dut.idle)
    prove(p, ports(dut), tmp_path)


def test_writer(tmp_path):
    dut = AxiWriter(GEOMETRY)
    p = Properties(dut)
    p.stands(dut.awvalid, dut.awready, dut.awaddr, dut.awlen)
    p.stands(dut.wvalid, dut.wready, dut.wdata, dut.wstrb, dut.wlast)
    burst_rules(p, GEOMETRY, dut.awaddr, dut.awlen, dut.awvalid)
    prove(p, ports(dut), tmp_path)


def test_stream(tmp_path):
    dut = StreamPort(1)
    p = Properties(dut)
    p.stands(dut.m_axis_tvalid, dut.m_axis_tready, dut.m_axis_tdata, dut.m_axis_tlast)
    prove(p, ports(dut), tmp_path)


def test_feeder(tmp_path):
    dut = JobFeeder(0x12345678, 2)
    p = Properties(dut)
    p.stands(dut.beats.valid, dut.beats.ready, dut.beats.payload)
    p.given(~dut.start | ~dut.beats.valid)
    prove(p, ports(dut), tmp_path)


def test_state_writer(tmp_path):
    dut = StateWriter(CONFIG)
    p = Properties(dut)
    p.stands(dut.words.valid, dut.words.ready, dut.words.payload)
    # What is answered stands until it is taken, and nothing is asked meanwhile.
    offered = p.before(dut.answers.valid & ~dut.answers.ready)
    p.given(~offered | (dut.answers.valid & (dut.answers.payload == p.before(dut.answers.payload))))
    p.given(~dut.took | (~dut.answers.valid & ~dut.words.valid))
    prove(p, ports(dut), tmp_path)


@pytest.mark.parametrize("what", ["never asks", "asks for less", "takes back"])
def test_what_is_false_is_not_proven(tmp_path, what):
    dut = AxiReader(GEOMETRY)
    p = Properties(dut)
    if what == "never asks":
        p.always(~dut.arvalid)
    elif what == "asks for less":
        p.always(~dut.arvalid | (dut.arlen < GEOMETRY.burst - 1))
    else:
        p.stands(dut.words_out.valid, dut.words_out.ready)  # though stop and error end it
    with pytest.raises(SparnnError):
        prove(p, ports(dut), tmp_path, steps=3)
