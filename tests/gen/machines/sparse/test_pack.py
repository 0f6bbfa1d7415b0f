"""The lane images, read back by a plain reader that follows docs/machine.md only."""

import time

import numpy as np
import pytest

from sparnn.gen.bench.random_networks import random_config, random_network, random_v
from sparnn.gen.machines.shared.order import with_third_gate
from sparnn.gen.machines.sparse.layout import lay_out
from sparnn.gen.machines.sparse.pack import pack_network
from sparnn.hdl.sparse.config import SparseConfig
from sparnn.hdl.sparse.descriptor import MaskFlag
from sparnn.sim.network.network import IntegerLayer, IntegerNetwork


def entry(words):
    return sum(int(word) << 32 * k for k, word in enumerate(words))


def turns_of(config, p, units, gates):
    """How often a half's rows of a cluster are dealt to a group."""
    words = -(-units // config.post_units)
    if config.width == 1 and config.masks:
        return words
    mine = len(range(p, units, config.post_units))
    return -(-mine * gates // config.width)


def rows_of_lane(config, p, j, v, units, gates, halves_before):
    """The blocks of a lane: lists of (gate, position)."""
    in_cluster = config.cluster_lanes // v
    turns = turns_of(config, p, units, gates)
    rows = [(gate, s) for s in range(p, units, config.post_units) for gate in range(gates)]
    at_once = gates if config.width == 1 and config.masks else config.width
    dealt = [rows[k : k + at_once] for k in range(0, len(rows), at_once)]
    mine = [r for n, r in enumerate(dealt) if (n + halves_before * turns) % in_cluster == j]
    return [r[k : k + config.width] for r in mine for k in range(0, len(r), config.width)]


def read_half(half, config, v, gates, units, columns, halves_before, first_column):
    """By position, from the lanes' images: the weights, [gates, units, columns], and the factors of
    the positive and the negative ones, [2, gates, units]."""
    P, S, C = config.post_units, config.lanes // config.post_units, config.chunk
    weights = np.zeros((gates, units, columns), int)
    seen = np.zeros((gates, units), int)
    factors = np.ones((2, gates, units), int)
    words = -(-columns // P)
    chunks = -(-(-(-words // v) * P) // C)
    assert half.chunks == chunks
    for lane in range(config.lanes):
        p, lane_of_cluster = divmod(lane, S)
        j, slice_ = divmod(lane_of_cluster, v)
        mine = rows_of_lane(config, p, j, v, units, gates, halves_before)
        masks = [entry(words) for words in half.masks[lane, : half.mask_counts[lane]]]
        assert not half.masks[lane, half.mask_counts[lane] :].any()
        stored = [entry(words) for words in half.weights[lane, : half.weight_counts[lane]]]
        if not mine:
            assert masks == [1 << C + MaskFlag.HALF_END] * config.masks
            assert not stored
            continue
        its = [w for w in range(words) if (w + first_column) % v == slice_]
        at = 0
        for block in mine:
            for gate, s in block:
                seen[gate, s] += 1
            local = range(len(its) * P)
            if config.masks:
                local = []
                for k in range(chunks):
                    mask = masks[at]
                    at += 1
                    row_end, half_end = k + 1 == chunks, at == len(masks)
                    flags, both = mask >> C & 15, mask >> C + 4
                    assert flags == row_end << MaskFlag.ROW_END | half_end << MaskFlag.HALF_END
                    if config.split_scales:
                        ((gate, s),) = block
                        factors[:, gate, s] = both & 3, both >> 2
                    else:
                        assert both == 0
                    local += [k * C + bit for bit in range(C) if mask >> bit & 1]
            for place in local:
                local_word, b = divmod(place, P)
                column = its[local_word] * P + b
                word = stored.pop(0)
                for row in range(config.width):
                    raw = word >> row * config.weight_bits & (1 << config.weight_bits) - 1
                    sign = raw >> config.weight_bits - 1
                    value = raw - (sign << config.weight_bits)
                    if row < len(block) and column < columns:
                        weights[*block[row], column] = value
                    else:
                        assert value == 0
        assert at == len(masks)
        assert not stored
    assert (seen == v).all()
    return weights, factors


def check_loop(loop, halves, config):
    """The halves one after the other, and what tells the lanes where they end."""
    for lane in range(config.lanes):
        stored = [half.weights[lane, : half.weight_counts[lane]] for half in halves]
        weights = loop.weights[lane, : loop.weight_counts[lane]]
        np.testing.assert_array_equal(weights, np.concatenate(stored))
        if not config.masks:
            continue
        once = [
            entry(words) for half in halves for words in half.masks[lane, : half.mask_counts[lane]]
        ]
        once[-1] |= 1 << config.chunk + MaskFlag.LOOP_END
        wanted = once * {1: 3, 2: 2}.get(len(once), 1)
        wanted[-3] |= 1 << config.chunk + MaskFlag.JUMP
        assert [entry(words) for words in loop.masks[lane, : loop.mask_counts[lane]]] == wanted
        assert not loop.masks[lane, loop.mask_counts[lane] :].any()


def read_parameters(words, config, gates, units):
    """[gates, units, (mult, shift, bias)] of one half by position; ``words`` lose what is read."""
    triples = np.zeros((gates, units, 3), int)
    for p in range(config.post_units):
        for w in range(-(-units // config.post_units)):
            s = w * config.post_units + p
            for gate in range(gates if s < units else 0):
                value = entry(words[p].pop(0))
                bias = value >> 22
                triples[gate, s] = value & 0xFFFF, value >> 16 & 63, bias - (bias >> 15 << 16)
    return triples


@pytest.mark.parametrize("seed", range(60))
def test_images_hold_the_network(seed):
    rng = np.random.default_rng(1000 + seed)
    config = random_config(rng)
    network = random_network(rng, config)
    v = random_v(rng, config, network)
    if seed % 2:
        v = v[:1] * len(v)  # which pairs need
    options = {name: bool(rng.integers(2)) for name in ("balance", "rotate")}
    layout = lay_out(network, config, v=v, **options)
    packed = pack_network(network, layout, config)
    for loop, pack in zip(layout.loops, packed, strict=True):
        parameters = [list(unit) for unit in pack.parameters]
        halves = list(pack.halves)
        check_loop(pack, halves, config)
        before = columns = 0
        for index in loop:
            layer, place = network.layers[index], layout.layers[index]
            if layer.kind == "gru_gates":
                layer = with_third_gate(layer)
                assert not layer.w_x[2].any()
                assert not layer.w_h[2].any()
            shape = layer.gates, layer.units
            for half, wanted, split, triple in (
                (
                    0,
                    layer.w_x[:, place.neurons],
                    layer.factors_x,
                    (layer.mult_x, layer.shift_x, layer.bias_x),
                ),
                (1, layer.w_h, layer.factors_h, (layer.mult_h, layer.shift_h, layer.bias_h)),
            ):
                if wanted is None:
                    continue
                width = layer.units if half else len(place.columns)
                first = (before, columns) if layout.rotate else (0, 0)
                read, factors = read_half(halves.pop(0), config, v[index], *shape, width, *first)
                split = np.ones_like(factors) if split is None else split[:, :, place.neurons]
                np.testing.assert_array_equal(factors, split)
                if half:
                    wanted = wanted[:, place.neurons][:, :, place.neurons]
                else:
                    wanted = wanted[:, :, place.columns] * (place.columns >= 0)
                np.testing.assert_array_equal(read, wanted)
                read_mult, read_shift, read_bias = np.moveaxis(
                    read_parameters(parameters, config, *shape), -1, 0
                )
                mult, shift, bias = (array[:, place.neurons] for array in triple)
                np.testing.assert_array_equal(read_bias, bias)
                np.testing.assert_array_equal(
                    np.ldexp(read_mult, -read_shift), np.ldexp(mult, -shift)
                )
                assert ((read_mult >= 16384) | ((read_mult == 0) & (read_shift == 63))).all()
                before += 1
                columns += -(-width // config.post_units)
        assert not halves
        assert not any(entry(words) for unit in parameters for words in unit)


@pytest.mark.deep
def test_a_large_layer_packs_in_seconds():
    rng = np.random.default_rng(1)
    w = rng.integers(-127, 128, (4, 800, 800)) * (rng.random((4, 800, 800)) < 0.33)
    rows = np.ones((4, 800), int)
    layer = IntegerLayer("l", "lstm", "", w, w, *[rows] * 6, 7, 8, 8, 7, 8)
    network = IntegerNetwork((layer,), 8, 8)
    config = SparseConfig(lanes=1024, post_units=16, max_v=16)
    layout = lay_out(network, config, v=[16])
    start = time.process_time()
    pack = pack_network(network, layout, config)[0]
    assert time.process_time() - start < 10
    assert pack.halves[0].weight_counts.sum() == np.count_nonzero(w)
