"""The machine as its host sees it, in plain Python: docs/machine.md and docs/numerics.md at work.

No timing, no vectors, no code shared with the compiler, the golden model or the hardware, except
for the packet and descriptor constants. Reading an entry that was never written is an error, so
images must be complete.
"""

from collections import deque

from sparnn.hdl.host.protocol import (
    RUN_ANEW,
    RUN_RESET,
    RUN_STEPS_BITS,
    Kind,
    Opcode,
    Response,
    Target,
)
from sparnn.hdl.sparse.descriptor import DESCRIPTOR

from .host_cells import HostCells, rne, sat, signed

__all__ = ["HostModel"]


class HostModel(HostCells):
    """Feed it packets, take its answers. ``cycles`` in DONE is the number of pairs multiplied."""

    DEPTHS = {
        Target.PROGRAM: ("program_depth", DESCRIPTOR.words),
        Target.MASK: ("mask_depth", 1),
        Target.WEIGHT: ("weight_depth", 1),
        Target.PARAMETER: ("parameter_depth", 1),
        Target.STATE: ("state_depth", 1),
        Target.STORE: ("store_depth", 1),
        Target.REFERENCE: ("reference_depth", 1),
        Target.TOTAL: ("parameter_depth", 1),
    }

    def __init__(self, config):
        self.config = config
        self.memories = {}  # (target, index, address) -> entry
        self.update_gates = {}  # state address -> z, from a GRU's gates to its candidate
        self.references = {}  # address of a word -> elements, from a run to the next one
        self.totals = {}  # (post unit, parameter address) -> sum over the references
        self.pairs = 0

    # Packets -------------------------------------------------------------------------------------

    def feed(self, words):
        """The answer to some whole packets."""
        answer = []
        queue = deque(int(word) for word in words)
        target = index = address = 0
        while queue:
            word = queue.popleft()
            opcode, argument = word >> 28, word & (1 << 28) - 1
            if opcode == Opcode.SELECT:
                target, index, address = Target(argument >> 20), argument & 0xFFFFF, 0
                lanes = target in (Target.MASK, Target.WEIGHT)
                units = target in (Target.PARAMETER, Target.STATE, Target.TOTAL)
                limit = self.config.lanes if lanes else self.config.post_units if units else 1
                assert index < limit
            elif opcode == Opcode.ADDRESS:
                address = argument
            elif opcode == Opcode.WRITE:
                bits = self.config.entry_bits(target)
                each = -(-bits // 32)
                for _ in range(argument // each):
                    entry = sum(queue.popleft() << 32 * k for k in range(each))
                    assert entry >> bits == 0, "bits beyond the entry"
                    name, factor = self.DEPTHS[target]
                    assert address < getattr(self.config, name) * factor, f"beyond {name}"
                    self.write(target, index, address, entry)
                    address += 1
            elif opcode == Opcode.READ:
                assert target not in (Target.PROGRAM, Target.MASK, Target.WEIGHT)
                each = -(-self.config.entry_bits(target) // 32)
                answer.append(Response.DATA << 28 | argument * each)
                for _ in range(argument):
                    entry = self.read(target, index, address)
                    answer.extend(entry >> 32 * k & 0xFFFFFFFF for k in range(each))
                    address += 1
            elif opcode == Opcode.RUN:
                steps = argument & (1 << RUN_STEPS_BITS) - 1
                if argument & (RUN_RESET | RUN_ANEW):
                    assert self.config.delta or not argument & RUN_ANEW
                    self.references, self.totals = {}, {}
                answer.extend(self.run(steps, bool(argument & RUN_RESET)))
            else:
                answer.append(Response.ERROR << 28 | argument)
        return answer

    # The network ---------------------------------------------------------------------------------

    def write(self, target, index, address, entry):
        """An entry of the host's."""
        if target == Target.REFERENCE:
            bits = self.config.activation_bits
            elements = [entry >> bits * k & (1 << bits) - 1 for k in range(self.config.post_units)]
            self.references[address] = [signed(element, bits) for element in elements]
        elif target == Target.TOTAL:
            self.totals[index, address] = signed(entry, self.config.total_bits)
        else:
            self.memories[target, index, address] = entry

    def read(self, target, index, address):
        """An entry for the host."""
        if target == Target.REFERENCE:
            bits = self.config.activation_bits
            elements = enumerate(self.references[address])
            return sum((element & (1 << bits) - 1) << bits * k for k, element in elements)
        if target == Target.TOTAL:
            return self.totals[index, address] & (1 << self.config.total_bits) - 1
        return self.memories[target, index, address]

    def run(self, steps, reset):
        answer = []
        self.pairs = 0
        pair = None
        for number in range(self.config.program_depth):
            base = number * DESCRIPTOR.words
            layer = DESCRIPTOR.decode(
                [self.memories[Target.PROGRAM, 0, base + k] for k in range(DESCRIPTOR.words)]
            )
            thread, layer = (0, layer) if pair is None else (1, self.second(pair, layer))
            pair = layer if layer["paired"] and not thread else None
            assert not layer["paired"] or layer["emit_last"] >= layer["emit"]
            outputs = self.run_layer(layer, steps, reset, thread)
            if layer["emit"]:
                for values in outputs[-1:] if layer["emit_last"] else outputs:
                    answer.append(Response.RESULT << 28 | layer["units"])
                    answer.extend(value & 0xFFFFFFFF for value in values)
            if layer["last_layer"]:
                return [*answer, Response.DONE << 28, self.pairs]
        raise AssertionError("no descriptor has last_layer")

    def second(self, first, layer):
        """The second thread of a pair: what it does not have of its own is the first one's."""
        assert self.config.threads == 2
        own = ("in_base", "out_base", "hidden_base", "add_stored", "sum_shift", "last_layer")
        derived = {"reverse": 1, "state_base": first["state_base"] + first["out_words"]}
        return first | {name: layer[name] for name in own} | derived

    def run_layer(self, layer, run_steps, reset, thread):
        """The outputs of each step, by position, in the order in which they are computed. One
        thread after the other: the order does not matter, since sums commute."""
        config = self.config
        steps = 1 if layer["single_step"] else run_steps
        backwards = layer["reverse"]
        recurrent = layer["kind"] != Kind.LINEAR
        units, out_words = layer["units"], layer["out_words"]
        assert layer["tail"] == units % config.post_units
        assert out_words * config.post_units >= units > (out_words - 1) * config.post_units
        halves = 1 + recurrent
        rows = self.lane_rows(layer, halves * (1 + layer["paired"]))
        if reset:
            h, states = [0] * (out_words * config.post_units), [0] * units
        elif recurrent:
            h = self.load_vector(layer["hidden_base"], out_words)
            states = [self.state(layer, s) for s in range(units)]
        outputs = []
        for step in range(steps):
            place = run_steps - 1 - step if backwards else step
            x = self.load_vector(layer["in_base"] + place * layer["in_words"], layer["in_words"])
            number = thread * halves
            u = self.half(layer, rows[number], self.sent(layer, x, number), number)
            v = u
            if recurrent:
                sent = self.sent(layer, h, number + 1)
                v = self.half(layer, rows[number + 1], sent, number + 1)
            h = []
            for s in range(units):
                if recurrent:
                    out, states[s] = self.cell(layer, s, u[s], v[s], states[s])
                else:
                    out = self.activated(layer, u[s][0])
                h.append(out)
            outputs.append(list(h))
            h += [0] * (out_words * config.post_units - units)
            if layer["store_out"]:
                place = steps - 1 - step if backwards else step
                address = layer["out_base"] + place * layer["out_stride"]
                stored = h
                if layer["add_stored"]:
                    sums = map(sum, zip(h, self.load_vector(address, out_words), strict=True))
                    bits = config.activation_bits
                    stored = [sat(rne(a, layer["sum_shift"]), bits) for a in sums]
                self.store_vector(address, stored)
        if recurrent:
            self.store_vector(layer["hidden_base"], h)
            for s in range(units):
                unit, word = s % config.post_units, s // config.post_units
                address = layer["state_base"] + word
                self.memories[Target.STATE, unit, address] = states[s] & 0xFFFF
        return outputs

    def sent(self, layer, vector, number):
        """What the lanes see of the vector that half ``number`` of a loop reads."""
        if not self.config.delta:
            return vector
        vectors = (layer["in_words"], layer["out_words"]) if layer["kind"] else (layer["in_words"],)
        base = layer["reference_base"] + sum(vectors[k % len(vectors)] for k in range(number))
        threshold = layer["delta_h" if number % len(vectors) else "delta_x"]
        width, found = self.config.post_units, []
        for word in range(len(vector) // width):
            assert base + word < self.config.reference_depth
            elements = self.references.setdefault(base + word, [0] * width)
            for k, new in enumerate(vector[word * width : (word + 1) * width]):
                difference = new - elements[k]
                found.append(difference if abs(difference) > threshold else 0)
                elements[k] += found[-1]
        return found

    def state(self, layer, s):
        if layer["kind"] == Kind.RNN and not layer["reset_first"]:
            return 0
        unit, word = s % self.config.post_units, s // self.config.post_units
        return signed(self.memories[Target.STATE, unit, layer["state_base"] + word], 16)

    def load_vector(self, base, words):
        """Elements of some store words, by position."""
        bits = self.config.activation_bits
        values = []
        for word in range(words):
            entry = self.memories[Target.STORE, 0, base + word]
            for b in range(self.config.post_units):
                values.append(signed(entry >> b * bits & (1 << bits) - 1, bits))
        return values

    def store_vector(self, base, values):
        bits, width = self.config.activation_bits, self.config.post_units
        for word in range(len(values) // width):
            entry = 0
            for b in range(width):
                entry |= (values[word * width + b] & (1 << bits) - 1) << b * bits
            assert base + word < self.config.store_depth
            self.memories[Target.STORE, 0, base + word] = entry

    # The lanes -----------------------------------------------------------------------------------

    def lane_rows(self, layer, halves):
        """Each half's rows of each lane: lists of (local column, weight); none for a null half."""
        found = [[] for _ in range(halves)]
        loop_rows = self.loop_rows if self.config.masks else self.counted_rows
        for lane in range(self.config.lanes):
            for half, rows in enumerate(loop_rows(lane, layer, halves)):
                found[half].append(rows)
        return found

    def counted_rows(self, lane, layer, halves):
        """The same without masks: every column of the lane's slice, in every block of its group."""
        config, v = self.config, 1 << layer["v_log2"]
        cluster, inside = divmod(lane, config.cluster_lanes)
        vectors = (layer["in_words"], layer["out_words"]) if layer["kind"] else (layer["in_words"],)
        at, found = layer["weight_base"], []
        for half in range(halves):
            before = half if layer["rotate"] else 0
            first = sum(vectors[k % len(vectors)] for k in range(before))
            words = [
                w for w in range(vectors[half % len(vectors)]) if (w + first) % v == inside % v
            ]
            assert words, "a lane without a word of a vector"
            turns = self.turns(layer, cluster)
            groups = config.cluster_lanes // v
            mine = [b for b in range(turns) if (b + before * turns) % groups == inside // v]
            found.append([])
            for _ in mine:
                columns = range(len(words) * config.post_units)
                entries = [self.memories[Target.WEIGHT, lane, at + k] for k in columns]
                found[-1].append(list(zip(columns, map(self.weights, entries), strict=True)))
                at += len(columns)
        return found

    def weights(self, entry):
        """The weights in a word, one for each row of a block."""
        bits = self.config.weight_bits
        assert entry >> bits * self.config.width == 0
        return [signed(entry >> k * bits & (1 << bits) - 1, bits) for k in range(self.config.width)]

    def turns(self, layer, cluster):
        """How often in a half rows of a cluster are dealt to one of its groups."""
        config = self.config
        if config.width == 1 and config.masks:  # a neuron's at a time
            return layer["out_words"]
        words = len(range(cluster, layer["units"], config.post_units))
        return -(-words * Kind(layer["kind"]).gates // config.width)

    def loop_rows(self, lane, layer, halves):
        """One lane's rows of each half, as it comes by them; the loop must then start again."""
        config = self.config
        mask_at, weight_at = layer["mask_base"], layer["weight_base"]
        found, half, row, chunk = [[]], 0, [], 0
        turn = None  # words until the address turns back
        while True:
            mask = self.memories[Target.MASK, lane, mask_at]
            row_end, half_end, loop_end, jump = (mask >> config.chunk + bit & 1 for bit in range(4))
            mask_at += 1
            turn = 2 if jump else None if turn is None else turn - 1
            for bit in range(config.chunk):
                if mask >> bit & 1:
                    weights = self.weights(self.memories[Target.WEIGHT, lane, weight_at])
                    weight_at += 1
                    if config.split_scales:
                        (weight,) = weights
                        weights = [weight * (mask >> config.chunk + (4 if weight > 0 else 6) & 3)]
                    row.append((chunk * config.chunk + bit, weights))
                    assert any(weights)
            chunk += 1
            assert chunk * config.chunk <= config.columns
            if row_end:
                found[-1].append(row)
            if row_end or half_end:
                assert row_end or not row
                row, chunk = [], 0
            assert half_end >= loop_end
            if loop_end:
                half += 1
                assert half % halves == 0
                weight_at = layer["weight_base"]
                if turn == 0:
                    repeats = half // halves
                    assert found == found[:halves] * repeats, "a repeated loop that differs"
                    return found[:halves]
                found.append([])
            elif half_end:
                half += 1
                found.append([])
            assert turn != 0, "the address turns back inside the loop"

    def half(self, layer, lanes, vector, number):
        """Requantized sums of one half, [position][gate]. ``number``: of the half in its loop."""
        config = self.config
        p_count, v = config.post_units, 1 << layer["v_log2"]
        assert v <= config.max_v
        per_cluster = config.cluster_lanes // v
        gates = Kind(layer["kind"]).gates
        halves = 1 if layer["kind"] == Kind.LINEAR else 2
        rotation = number if layer["rotate"] else 0
        words = (layer["in_words"], layer["out_words"])
        local = self.local_copies(vector, v, sum(words[k % halves] for k in range(rotation)))
        sums = [
            deque(self.dot(row, local[lane % config.cluster_lanes % v]) for row in rows)
            for lane, rows in enumerate(lanes)
        ]
        results = [[] for _ in range(layer["units"])]
        for p in range(p_count):
            words = [w for w in range(layer["out_words"]) if w * p_count + p < layer["units"]]
            parameter = layer["parameter_base"] + number * len(words) * gates
            turns, by_word = self.turns(layer, p), config.width == 1 and config.masks
            for count, w in enumerate(words):
                for gate in range(gates):
                    row = count * gates + gate
                    turn, place = (w, 0) if by_word else divmod(row, config.width)
                    group = (turn + rotation * turns) % per_cluster
                    lanes_of_group = range(group * v, (group + 1) * v)
                    queues = [sums[p * config.cluster_lanes + lane] for lane in lanes_of_group]
                    acc = sum(queue[0][place] for queue in queues)
                    if place == config.width - 1 or row == len(words) * gates - 1:
                        for queue in queues:
                            queue.popleft()
                    entry = self.memories[Target.PARAMETER, p, parameter]
                    if config.delta:
                        acc += self.totals.get((p, parameter), 0)
                        self.totals[p, parameter] = acc
                    parameter += 1
                    mult, shift = entry & 0xFFFF, entry >> 16 & 63
                    bias = signed(entry >> 22, 16)
                    results[w * p_count + p].append(sat(rne(acc * mult, shift) + bias))
        assert not any(sums), "partial sums that nobody takes"
        return results

    def local_copies(self, vector, v, first):
        """The slices of a broadcast vector whose first word goes to slice ``first`` mod v."""
        p_count = self.config.post_units
        slices = [[] for _ in range(v)]
        for word in range(len(vector) // p_count):
            slices[(first + word) % v].extend(vector[word * p_count : (word + 1) * p_count])
        return slices

    def dot(self, row, local):
        """The sums of a block of rows, columns with the weights of each."""
        self.pairs += sum(local[column] != 0 and w != 0 for column, ws in row for w in ws)
        return [
            sum(weights[k] * local[column] for column, weights in row)
            for k in range(self.config.width)
        ]
