"""The host's side of the link against boards that behave and boards that do not."""

from collections.abc import Callable

import numpy as np
import pytest

from sparnn.hdl.host.protocol import Opcode, Response, header, identity
from sparnn.hdl.link.protocol import VERSION, Fault, Kind
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.sim.errors import SimulationError
from sparnn.sim.host.board_link import BoardLink
from sparnn.sim.host.link_words import LinkDecoder, LinkEncoder
from sparnn.sim.host.serial_port import open_port

DEPTH_LOG2 = 4
PATIENCE = 0.4


class FakeBoard:
    """A port with a board behind it: it answers every word with what ``machine`` says."""

    name = "fake"

    def __init__(self, machine: Callable[[int], list[int]] = lambda word: [word + 1]) -> None:
        self.machine = machine
        self.decoder, self.encoder = LinkDecoder(), LinkEncoder()
        self.out = bytearray()
        self.credit = 0
        self.words = 0
        self.version = VERSION
        self.before = b""

    def write(self, data: bytes) -> None:
        for word in self.decoder.feed(data):
            if word.kind == Kind.RESET:
                self.encoder = LinkEncoder()
                greeting = word.word | DEPTH_LOG2 << 8 | self.version << 16
                self.out += self.before + self.encoder.encode(Kind.RESET, [greeting])
                self.credit = 1 << DEPTH_LOG2
                continue
            assert self.credit > 0, "a word without credit"
            self.credit -= 1
            self.words += 1
            self.out += self.encoder.encode(Kind.DATA, self.machine(word.word))
            quarter = 1 << DEPTH_LOG2 - 2
            if self.words % quarter == 0:
                self.out += self.encoder.encode(Kind.CREDIT, [quarter])
                self.credit += quarter

    def read(self, seconds: float) -> bytes:
        data, self.out = bytes(self.out[:7]), self.out[7:]
        return data


class Silent(FakeBoard):
    def write(self, data: bytes) -> None:
        pass


class Garbage(Silent):
    def read(self, seconds: float) -> bytes:
        return b"\x80\x00hello"


def test_words_under_credit() -> None:
    board = FakeBoard()
    link = BoardLink(board, patience=PATIENCE)
    words = np.arange(1000, dtype=np.uint32)
    for _ in range(2):  # a second session on the same port
        link.open()
        assert link.exchange(words, len(words)).tolist() == (words + 1).tolist()
        assert link.exchange(words[:3], 3).tolist() == [1, 2, 3]


def test_noise_of_a_session_before() -> None:
    """A power-up greeting, half a word, and words whose check does not fit."""
    board = FakeBoard()
    old = LinkEncoder()
    board.before = old.encode(Kind.RESET, [0]) + old.encode(Kind.DATA, [1, 2])[:-3] + b"\x01\x85"
    link = BoardLink(board, patience=PATIENCE)
    link.open()
    assert link.exchange(np.array([7], np.uint32), 1).tolist() == [8]


def test_a_board_that_falls_silent() -> None:
    link = BoardLink(FakeBoard(lambda word: [word] if word < 5 else []), patience=PATIENCE)
    link.open()
    assert link.exchange(np.arange(9, dtype=np.uint32), 9).tolist() == [0, 1, 2, 3, 4]


def identified(answer: int) -> Callable[[int], list[int]]:
    def machine(word: int) -> list[int]:
        assert word == header(Opcode.IDENTIFY, 0)
        return [header(Response.DATA, 1), answer]

    return machine


def test_the_right_machine_and_another() -> None:
    config = SparseConfig()
    link = BoardLink(FakeBoard(identified(identity(config))), patience=PATIENCE)
    link.open()
    link.check_machine(config)
    other = BoardLink(FakeBoard(identified(0x1234)), patience=PATIENCE)
    other.open()
    with pytest.raises(SimulationError, match=r"holds another machine \(00001234\).*bitstream"):
        other.check_machine(config)


@pytest.mark.parametrize(
    ("board", "said"),
    [
        (Silent, "fake: no answer within 0.4 s: check that the board is on"),
        (Garbage, "bytes that are not of a sparnn board: give the --baud"),
    ],
)
def test_no_board(board: type[FakeBoard], said: str) -> None:
    with pytest.raises(SimulationError, match=said):
        BoardLink(board(), patience=PATIENCE).open()


def test_another_version() -> None:
    board = FakeBoard()
    board.version = 9
    with pytest.raises(SimulationError, match=f"has the version 9, this sparnn speaks {VERSION}"):
        BoardLink(board, patience=PATIENCE).open()


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (lambda e: e.encode(Kind.FAULT, [Fault.CHECK]), "refused the link, a check that does not"),
        (lambda e: e.encode(Kind.FAULT, [77]), "refused the link, 77"),
        (lambda e: e.encode(Kind.RESET, [0]), "the board was reset during the run"),
        (lambda e: b"\x00", "the board's answer is damaged"),
        (lambda e: e.encode(Kind.DATA, [5])[:-1] + b"\x55", "the board's answer is damaged"),
    ],
)
def test_a_link_that_breaks(sent: Callable[[LinkEncoder], bytes], said: str) -> None:
    board = FakeBoard()
    link = BoardLink(board, patience=PATIENCE)
    link.open()
    board.out += sent(board.encoder)
    with pytest.raises(SimulationError, match=said):
        link.exchange(np.zeros(1, np.uint32), 1)


def test_ports(tmp_path) -> None:
    with pytest.raises(SimulationError, match=r"--port /dev/ttyNONE: there is no such port"):
        with open_port("/dev/ttyNONE", 115200):
            pass
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(SimulationError, match="this is no serial port"):
        with open_port(str(file), 115200):
            pass
