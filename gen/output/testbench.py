"""Self-checking benches of a compiled network, for simulators other than our own.

Vectors are the words that the host says behind the image, which is read as it is, and what the
machine has to answer by the golden model; the cycles that it counts, and bits that mean nothing,
are left open.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from sparnn.hdl.host.protocol import COUNTER_WORDS, Counter, Response, header
from sparnn.sim.aliases import IntArray, Words
from sparnn.sim.golden.layers import run_network
from sparnn.sim.golden.run import QuantizedSequence
from sparnn.sim.golden.trace import LayerTrace, NetworkTrace
from sparnn.sim.host.answers import answered_words
from sparnn.sim.host.packets import constant_states, packed_words, sequence_packets
from sparnn.sim.host.program import LayerProgram, MachineProgram, Run
from sparnn.sim.network.network import IntegerNetwork

__all__ = ["SEQUENCES", "STEPS", "answer_vectors", "write_testbench"]

#: The calibration's first sequences that a bench runs, and the first steps of each.
SEQUENCES, STEPS = 2, 16
#: Cycles without a word in either direction after which a bench gives up: more than any run takes.
_PATIENCE = 20

_TEMPLATES = Path(__file__).parent / "templates"

#: Words of the answer, and which of their bits count.
Vectors = tuple[list[int], list[int]]


def write_testbench(
    folder: Path,
    program: MachineProgram,
    network: IntegerNetwork,
    image: Words,
    sequences: Sequence[QuantizedSequence],
    verilog: str,
    external: Words,
) -> None:
    """Write the benches into a folder: sparnn_tb.v, test_sparnn.py, Makefile and the vectors.

    Parameters
    ----------
    image: what lies in image.bin, in the folder above.
    verilog: the path of sparnn.v from there. external: what lies in weights.bin beside the image,
        where the machine reads one.
    """
    words, runs, traces = [], [], []
    for number, one in enumerate(sequences[:SEQUENCES]):
        x = one.x[:STEPS]
        said, more = sequence_packets(program, number, x, one.initial)
        words.append(said)
        runs += more
        traces.append(run_network(network, x, constant_states(network) | one.initial))
    values, masks = answer_vectors(program, runs, traces)
    link_words = program.config.link_words
    beats = np.concatenate(words).astype(np.uint32).reshape(-1, link_words)
    folder.mkdir()
    said_text = "".join("".join(f"{word:08x}" for word in beat[::-1]) + "\n" for beat in beats)
    (folder / "said.hex").write_text(said_text, encoding="ascii")
    answered = "".join(f"{m:08x}{v:08x}\n" for v, m in zip(values, masks, strict=True))
    (folder / "answered.hex").write_text(answered, encoding="ascii")
    longest = max(run.steps for run in runs)
    fields = {
        "SAID": str(len(beats)),
        "ANSWERED": str(len(values)),
        "LOADED": str(len(image) // link_words),
        "LINK_BYTES": str(4 * link_words),
        "PATIENCE": str(10_000 + _PATIENCE * longest * program.step_bound),
        "VERILOG": verilog,
    } | _memory(program.config.stream_bits, 4 * len(external))
    for template in sorted(_TEMPLATES.iterdir()):
        if template.is_file():
            text = template.read_text(encoding="utf-8")
            for name, value in fields.items():
                text = text.replace(f"@{name}@", value)
            (folder / template.name.removesuffix(".in")).write_text(text, encoding="utf-8")


def _memory(stream_bits: int, size: int) -> dict[str, str]:
    """What benches of a machine that reads its weights have beside the others."""
    width = stream_bits // 8
    snippets = {
        "MEMORY": "sparnn_tb.v",
        "PORTS": "ports.v",
        "MEMORY_BENCH": "test_sparnn.py.in",
    }
    fields = {
        name: (_TEMPLATES / "memory" / file).read_text(encoding="utf-8") if width else ""
        for name, file in snippets.items()
    }
    fields["WIDTH"] = f"WORD_BYTES = {width}\n" if width else ""
    fields["START"] = (
        "    dut.words__valid.value = dut.requests__ready.value = 0\n"
        "    dut.words__payload.value = 0\n"
        "    cocotb.start_soon(memory(dut, idle))\n"
        if width
        else ""
    )
    if width:
        fields |= {"WORD_BYTES": str(width), "WORDS": str(size // width)}
    return fields


def answer_vectors(
    program: MachineProgram, runs: Sequence[Run], traces: Sequence[NetworkTrace]
) -> Vectors:
    """What the machine answers to the packets of the runs, by the golden model's traces."""
    values: list[int] = []
    masks: list[int] = []

    def packet(
        response: Response, argument: int, words: IntArray | Words, mask: Words | int
    ) -> None:
        values.append(header(response, argument))
        values.extend(int(word) & 0xFFFFFFFF for word in words)
        masks.append(0xFFFFFFFF)
        masks.extend(int(one) & 0xFFFFFFFF for one in np.broadcast_to(mask, len(words)))

    done: dict[int, int] = {}
    for run in runs:
        start = done.get(run.sequence, 0)
        done[run.sequence] = start + run.steps
        trace = traces[run.sequence]
        last = done[run.sequence] == len(trace.layers[0].outputs)
        for layer, one in zip(program.layers, trace.layers, strict=True):
            for row, known in _emitted(layer, one, start, run.steps, last):
                in_order = row[list(layer.neurons)]
                packet(Response.RESULT, len(in_order), in_order, 0xFFFFFFFF if known else 0)
        packet(Response.DONE, 0, np.zeros(1, np.int64), 0)
        for layer, one in zip(program.layers, trace.layers, strict=True):
            if run.read_states and layer.read_state:
                assert one.state is not None
                state = one.state[list(layer.neurons)]
                units = program.config.post_units
                for unit, count in layer.state_entries(units):
                    packet(Response.DATA, count, state[unit::units], 0xFFFF)
        for layer, one in zip(program.layers, trace.layers, strict=True):
            if layer.sequence_order:
                steps = layer.steps(run.steps)
                known = last or not layer.descriptor["single_step"]
                first = len(one.sequence) - 1 if steps == 1 and run.steps > 1 else start
                words, mask = _stored(program, layer, one.sequence[first : first + steps])
                packet(Response.DATA, len(words), words, mask if known else 0)
        if program.config.counters:
            count = len(Counter) * COUNTER_WORDS
            for _ in range(program.config.post_units):
                packet(Response.DATA, count, np.zeros(count, np.int64), 0)
    return values, masks


def _emitted(
    layer: LayerProgram, trace: LayerTrace, start: int, steps: int, last: bool
) -> Iterator[tuple[IntArray, bool]]:
    """Rows that a run sends of a layer, and whether the golden model says what they are: of a run
    that ends before its sequence, the last step alone means nothing."""
    count = layer.emitted(steps)
    golden = trace.outputs
    if layer.reverse and not layer.descriptor["single_step"]:
        golden = golden[::-1]
    if count == steps and not layer.descriptor["single_step"]:
        yield from ((row, True) for row in golden[start : start + steps])
    elif count:
        yield golden[-1], last


def _stored(program: MachineProgram, layer: LayerProgram, rows: IntArray) -> tuple[Words, Words]:
    """Outputs as they lie in the store, and the bits that are somebody's."""
    config = program.config
    bits, units = config.activation_bits, config.post_units
    order = np.array(layer.sequence_order)
    present = np.flatnonzero(order >= 0)
    elements = np.zeros((len(rows), layer.sequence_words * units), np.int64)
    known = np.zeros_like(elements)
    elements[:, present] = rows[:, order[present]] & (1 << bits) - 1
    known[:, present] = (1 << bits) - 1
    words, mask = (
        packed_words(one.reshape(-1, units), bits, answered_words(config)).reshape(-1)
        for one in (elements, known)
    )
    return words, mask
