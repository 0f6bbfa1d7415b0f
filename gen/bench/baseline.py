"""Runs a ReLU layer on the EIE and ESE arrays in Verilator (docs/baselines.md)."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparnn.gen.errors import SparnnError
from sparnn.gen.machines.sparse.pack import parameter_entries
from sparnn.hdl.baseline.array import baseline_verilog
from sparnn.hdl.baseline.config import GROUP, BaselineConfig
from sparnn.hdl.baseline.ports import PROGRAM_FIELDS, Opcode, Target, beat_bits
from sparnn.hdl.common.numbers import ceil_div
from sparnn.sim.aliases import IntArray, Words
from sparnn.sim.errors import SimulationError
from sparnn.sim.network.network import IntegerLayer
from sparnn.sim.verilator.hardware import DriverRun
from sparnn.sim.verilator.kept_runs import kept_run
from sparnn.sim.verilator.verilate import build_driver

from .csc import CscImage, encode_csc

__all__ = ["DESIGNS", "BaselineRun", "baseline_config", "run_baseline"]


#: What makes an array EIE or ESE.
DESIGNS: Mapping[str, Mapping[str, Any]] = {
    "eie": {"skip_zeros": True, "overlap": False, "entries_per_read": 8},
    "ese": {"skip_zeros": False, "overlap": True, "entries_per_read": 1},
}


@dataclass(frozen=True, eq=False)
class BaselineRun:
    """A run of a layer. cycles: from RUN to the last output. outputs: [steps, units].

    entries: multiplications that are stored, padding included; padding: those that are padding.
    """

    config: BaselineConfig
    verilog: str
    cycles: int
    outputs: IntArray
    entries: int
    padding: int
    driver: DriverRun


def baseline_config(
    layer: IntegerLayer,
    stored_steps: int,
    lanes: int,
    *,
    design: str,
    weight_bits: int,
    activation_bits: int,
    **changes: Any,
) -> BaselineConfig:
    """The array of a design with memories of exactly the size that a layer and a sequence need.

    Parameters
    ----------
    stored_steps: the longest sequence that it holds.
    changes: other parameters of :class:`~sparnn.hdl.baseline.config.BaselineConfig`.

    Raises
    ------
    SparnnError: these arrays cannot run the layer.
    """
    _check(layer)
    parameters = {**DESIGNS[design], **changes}
    probe = BaselineConfig(
        lanes=lanes,
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        matrix_words=1,
        columns=1,
        half_columns=1,
        rows=1,
        activation_depth=1,
        **parameters,
    )
    image = encode_csc(_matrices(layer), lanes, probe.index_bits)
    hidden = layer.units if layer.w_h is not None else 0
    x_places, h_places = ceil_div(layer.inputs, lanes), ceil_div(layer.units, lanes)
    return BaselineConfig(
        lanes=lanes,
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        matrix_words=max(1, ceil_div(int(image.entries.max()), probe.entries_per_read)),
        columns=layer.inputs + hidden,
        half_columns=max(layer.inputs, layer.units),
        rows=h_places,
        activation_depth=stored_steps * x_places + (stored_steps + 1) * h_places,
        **parameters,
    )


def run_baseline(
    config: BaselineConfig,
    layer: IntegerLayer,
    x: IntArray,
    verilog: Callable[[BaselineConfig], str] = baseline_verilog,
) -> BaselineRun:
    """Load a layer and a sequence, run it from a zero state, read all outputs.

    Parameters
    ----------
    x: integers, [steps, inputs].
    verilog: of an array; gen/energy has others that count.

    Raises
    ------
    SimulationError: the array does not answer as it should.
    """
    _check(layer)
    image = encode_csc(_matrices(layer), config.lanes, config.index_bits)
    loading = np.vstack([*_memory_beats(config, image), *_parameter_beats(config, layer)])
    program = _program(config, layer, len(x))
    reads = [
        _header(Opcode.READ, program["h_base"] + step * program["stride_h"])
        for step in range(1, len(x) + 1)
    ]
    beats = np.vstack(
        [
            loading,
            _commands(config, _header(Opcode.SETUP, 0), *program.values()),
            *_activation_beats(config, layer, x),
            _commands(config, _header(Opcode.RUN, len(x)), *reads),
        ]
    )
    text = verilog(config)
    with tempfile.TemporaryDirectory(prefix="sparnn-baseline-") as name:
        path = Path(name) / "sparnn.v"
        path.write_text(text)
        binary = build_driver(path)
    expected = 1 + len(x) * layer.units
    # No element multiplies more often than every entry for every step.
    bound = 10_000 + 8 * len(x) * (int(image.entries.max()) + config.columns + 1000)
    answer, driver, problem = kept_run(
        binary, beats.reshape(-1), expected, {"--mark": loading.size, "--watchdog": bound}
    )
    if len(answer) != expected:
        raise SimulationError(f"the array gave {len(answer)} of {expected} words ({problem})")
    sent = answer[1:].reshape(len(x), layer.units)
    outputs = np.zeros(sent.shape, np.int64)
    np.put_along_axis(
        outputs, (sent >> 16).astype(np.int64), sent.astype(np.uint16).astype(np.int16), axis=1
    )
    entries = int(image.entries.sum())
    return BaselineRun(
        config=config,
        verilog=text,
        cycles=int(answer[0]),
        outputs=outputs,
        entries=entries,
        padding=entries - image.nonzeros,
        driver=driver,
    )


def _check(layer: IntegerLayer) -> None:
    if layer.kind not in ("rnn", "linear") or layer.activation != "relu":
        raise SparnnError(
            f"layer {layer.name}: the EIE and ESE arrays run ReLU layers (rnn or linear), not "
            f"{layer.kind} with activation {layer.activation or 'none'}; compare with one of those"
        )
    if layer.split or layer.threshold is not None:
        raise SparnnError(
            f"layer {layer.name}: the EIE and ESE arrays have one scale for each row and no output "
            "prediction; quantize without split scales and thresholds"
        )


def _matrices(layer: IntegerLayer) -> list[IntArray]:
    halves = [layer.w_x] if layer.w_h is None else [layer.w_x, layer.w_h]
    return [half[0].astype(np.int64) for half in halves]


def _header(opcode: Opcode, argument: int) -> int:
    return int(opcode) << 28 | argument


def _commands(config: BaselineConfig, *words: int) -> Words:
    """Beats of one word each: headers and fields."""
    beats = np.zeros((len(words), beat_bits(config) // 32), np.uint32)
    beats[:, 0] = words
    return beats


def _load(config: BaselineConfig, target: Target, group: int, fields: IntArray, bits: int) -> Words:
    """A memory of a group. fields: [entries, fields of ``bits`` bits], the first lowest."""
    unsigned = (fields & ((1 << bits) - 1)).astype(np.uint64)
    spread = unsigned[:, :, np.newaxis] >> np.arange(bits, dtype=np.uint64) & np.uint64(1)
    flat = spread.reshape(len(fields), fields.shape[1] * bits).astype(np.uint8)
    padded = np.zeros((len(fields), beat_bits(config)), np.uint8)
    padded[:, : flat.shape[1]] = flat
    return np.vstack(
        [
            _commands(
                config,
                _header(Opcode.SELECT, int(target) << 20 | group),
                _header(Opcode.WRITE, len(fields)),
            ),
            np.packbits(padded, axis=1, bitorder="little").view("<u4").astype(np.uint32),
        ]
    )


def _program(config: BaselineConfig, layer: IntegerLayer, steps: int) -> dict[str, int]:
    stride_x, stride_h = ceil_div(layer.inputs, config.lanes), ceil_div(layer.units, config.lanes)
    program = {
        "inputs": layer.inputs,
        "rows_x": layer.inputs // config.lanes,
        "tail_x": layer.inputs % config.lanes,
        "stride_x": stride_x,
        "rows_h": layer.units // config.lanes,
        "tail_h": layer.units % config.lanes,
        "stride_h": stride_h,
        "h_base": steps * stride_x,
        "out_shift": 15 + layer.f_pre - layer.f_out,
        "recurrent": int(layer.w_h is not None),
    }
    return {name: program[name] for name in PROGRAM_FIELDS}


def _memory_beats(config: BaselineConfig, image: CscImage) -> list[Words]:
    parts = []
    weight_mask = (1 << config.weight_bits) - 1
    entries = [
        weights & weight_mask | runs << config.weight_bits
        for weights, runs in zip(image.weights, image.runs, strict=True)
    ]
    for group in range(config.groups):
        elements = range(GROUP * group, GROUP * (group + 1))
        rows = ceil_div(max(len(entries[number]) for number in elements), config.entries_per_read)
        matrices = np.zeros((GROUP, rows * config.entries_per_read), np.int64)
        pointers = np.zeros((GROUP, 2 * config.pointer_words), np.int64)
        for place, number in enumerate(elements):
            matrices[place, : len(entries[number])] = entries[number]
            pointers[place, : image.pointers.shape[1]] = image.pointers[number]
        parts += [
            _load(
                config,
                target,
                group,
                # [element, entry, field] -> [entry, element and field]
                fields.reshape(GROUP, -1, each).swapaxes(0, 1).reshape(-1, GROUP * each),
                bits,
            )
            for target, fields, each, bits in (
                (Target.MATRIX, matrices, config.entries_per_read, config.entry_bits),
                (Target.POINTER, pointers, 2, config.cursor_bits),
            )
        ]
    return parts


def _parameter_beats(config: BaselineConfig, layer: IntegerLayer) -> list[Words]:
    halves = [(layer.mult_x, layer.shift_x, layer.bias_x)]
    if layer.w_h is not None:
        assert layer.mult_h is not None
        assert layer.shift_h is not None
        assert layer.bias_h is not None
        halves.append((layer.mult_h, layer.shift_h, layer.bias_h))
    parts = []
    for group in range(config.groups):
        rows = np.arange(layer.units)
        rows = rows[rows % config.lanes // GROUP == group]
        entries = [
            parameter_entries(mult[0][rows], shift[0][rows], bias[0][rows]).astype(np.int64)
            for mult, shift, bias in halves
        ]
        parts.append(
            _load(config, Target.PARAMETER, group, np.concatenate(entries)[:, np.newaxis], 38)
        )
    return parts


def _activation_beats(config: BaselineConfig, layer: IntegerLayer, x: IntArray) -> list[Words]:
    """The inputs of every step; behind them a hidden state of zeros."""
    steps, inputs = x.shape
    places = ceil_div(inputs, config.lanes)
    dealt = np.zeros((steps * places + ceil_div(layer.units, config.lanes), config.lanes), np.int64)
    padded = np.zeros((steps, places * config.lanes), np.int64)
    padded[:, :inputs] = x
    dealt[: steps * places] = padded.reshape(-1, config.lanes)
    return [
        _load(
            config,
            Target.ACTIVATION,
            group,
            dealt[:, GROUP * group : GROUP * (group + 1)],
            config.activation_bits,
        )
        for group in range(config.groups)
    ]
