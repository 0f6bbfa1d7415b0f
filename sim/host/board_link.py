"""The host's side of the serial link (docs/link.md): words there and back, under credit."""

import os
import time
from typing import Protocol

import numpy as np

from sparnn.hdl.host.protocol import Opcode, Response, header, identity
from sparnn.hdl.link.protocol import VERSION, Fault, Kind
from sparnn.hdl.machine import MachineConfig
from sparnn.sim.aliases import Words
from sparnn.sim.errors import SimulationError
from sparnn.sim.progress import progress

from .link_words import BadByteError, LinkDecoder, LinkEncoder

__all__ = ["BoardLink", "Port"]


class Port(Protocol):
    """What is needed of a serial port: :func:`sparnn.sim.host.serial_port.open_port`."""

    name: str

    def write(self, data: bytes) -> None:
        """Send all of it."""

    def read(self, seconds: float) -> bytes:
        """What has arrived; if nothing has, what arrives first within so many seconds."""


_FAULTS = {
    Fault.LINE: "a byte without stop bit: the baud rates differ, or the line is disturbed",
    Fault.FRAME: "bytes that are no link word: something was lost or added on the way",
    Fault.CHECK: "a check that does not match: something was lost or damaged on the way",
    Fault.OVERRUN: "a word without credit: two programs use the port",
}


class BoardLink:
    """One session with a board.

    Parameters
    ----------
    port: opened.
    patience: seconds without an answer after which the board is given up.
    """

    #: Link words written at once: the answers are read at least this often.
    CHUNK = 32
    #: RESETs sent before the board is given up; noise before the first may hide it.
    TRIES = 3

    def __init__(self, port: Port, *, patience: float = 10.0) -> None:
        self._port = port
        self._patience = patience
        self._encoder = LinkEncoder()
        self._decoder = LinkDecoder()
        self._credit = 0
        self._answers: list[int] = []

    def open(self) -> None:
        """Reset the board and the machine.

        Raises
        ------
        SimulationError: it does not answer, or something else does.
        """
        heard = 0
        for _ in range(self.TRIES):
            nonce = 1 + os.urandom(1)[0] % 255
            self._encoder = LinkEncoder()
            self._port.write(self._encoder.encode(Kind.RESET, [nonce]))
            end = time.monotonic() + self._patience / self.TRIES
            decoder = LinkDecoder()
            while time.monotonic() < end:
                data = self._port.read(0.05)
                heard += len(data)
                for place, byte in enumerate(data):
                    try:
                        words = decoder.feed(bytes([byte]))
                    except BadByteError:  # of a session before
                        decoder = LinkDecoder()
                        continue
                    if words and words[0].kind == Kind.RESET and words[0].word & 0xFF == nonce:
                        self._begin(words[0].word, decoder, data[place + 1 :])
                        return
        if heard:
            raise SimulationError(
                f"{self._port.name} answers {heard} bytes that are not of a sparnn board: give the "
                "--baud that its bitstream was made for, or load the bitstream"
            )
        raise SimulationError(
            f"{self._port.name}: no answer within {self._patience:g} s: check that the board is "
            "on, that its bitstream is loaded, and that this is its port"
        )

    def _begin(self, greeting: int, decoder: LinkDecoder, rest: bytes) -> None:
        version = greeting >> 16 & 0xFF
        if version != VERSION:
            raise SimulationError(
                f"{self._port.name}: the board's link has the version {version}, this sparnn "
                f"speaks {VERSION}: make its bitstream again"
            )
        self._credit = 1 << (greeting >> 8 & 0xFF)
        self._decoder = decoder
        self._answers = []
        self._hear(rest)

    def check_machine(self, config: MachineConfig) -> None:
        """Ask for the machine's identity.

        Raises
        ------
        SimulationError: it is another machine.
        """
        words = np.array([header(Opcode.IDENTIFY, 0)], np.uint32)
        answer = self.exchange(words, 2).tolist()
        wanted = identity(config)
        if answer != [header(Response.DATA, 1), wanted]:
            found = f"{answer[1]:08x}" if len(answer) == 2 else "unknown"
            raise SimulationError(
                f"{self._port.name}: the board holds another machine ({found}) than the folder "
                f"({wanted:08x}): make and load the folder's own bitstream with sparnn bitstream"
            )

    def exchange(
        self, words: Words, expected: int, *, allowed: float = 0.0, title: str = "Talking"
    ) -> Words:
        """Send words and collect answers.

        Parameters
        ----------
        expected: words of answer.
        allowed: seconds that the machine may work without a word, beside ``patience``.

        Returns
        -------
        The answers, fewer than expected where the board fell silent.

        Raises
        ------
        SimulationError: the link broke.
        """
        sent = 0
        quiet = self._patience + allowed
        last = time.monotonic()
        with progress(title, total=len(words) + expected) as advance:
            while sent < len(words) or len(self._answers) < expected:
                count = min(self.CHUNK, self._credit, len(words) - sent)
                if count:
                    data = self._encoder.encode(Kind.DATA, words[sent : sent + count])
                    self._port.write(data)
                    self._credit -= count
                    sent += count
                    last = time.monotonic()
                before = len(self._answers)
                data = self._port.read(0.0 if count else 0.05)
                if data:
                    last = time.monotonic()
                    self._hear(data)
                advance(count + len(self._answers) - before)
                if time.monotonic() - last > quiet:
                    break
        answer = np.array(self._answers[:expected], np.uint32)
        self._answers = self._answers[expected:]
        return answer

    def _hear(self, data: bytes) -> None:
        try:
            words = self._decoder.feed(data)
        except BadByteError as error:
            raise SimulationError(
                f"{self._port.name}: the board's answer is damaged ({error}): run again, with a "
                "lower --baud if it stays"
            ) from None
        for word in words:
            if word.kind == Kind.DATA:
                self._answers.append(word.word)
            elif word.kind == Kind.CREDIT:
                self._credit += word.word
            elif word.kind == Kind.RESET:
                raise SimulationError(f"{self._port.name}: the board was reset during the run")
            else:
                said = _FAULTS.get(Fault(word.word), "") if word.word in list(Fault) else ""
                raise SimulationError(
                    f"{self._port.name}: the board refused the link, {said or word.word}"
                )
