"""Cells written as single operators, one step after the other, as exporters of loops do."""

from collections.abc import Sequence

from onnx import GraphProto, ModelProto, TensorProto, helper

from .onnx_builder import Graph

__all__ = ["INPUTS", "UNITS", "Cell", "looped", "unrolled"]

INPUTS, UNITS, PROJECTED = 4, 6, 3


class Cell:
    """One cell with its weights in a graph; each step adds its operators.

    Parameters
    ----------
    kind: ``gru`` and ``lstm`` as PyTorch writes nn.GRUCell and nn.LSTMCell; ``gru_before``, which
        resets the state before the product, by matrices of input and state side by side;
        ``lstm_joined``, whose gates are one product and one σ; ``lstm_peepholes``, whose gates read
        the cell state; ``lstm_projected``, whose hidden state is a projection; ``rnn``.
    """

    def __init__(self, g: Graph, kind: str, inputs: int = INPUTS):
        self.g, self.kind = g, kind
        rows = {"gru": 3, "gru_before": 2, "lstm": 4, "rnn": 1}.get(kind, 4) * UNITS
        joined = kind in ("gru_before", "lstm_joined")
        self.w = [g.weights(rows, inputs + UNITS * joined), g.weights(rows)]
        if joined:
            self.more = [g.weights(UNITS, inputs + UNITS), g.weights(UNITS)]
        else:
            self.more = [g.weights(rows, self.sizes[0]), g.weights(rows)]
        if kind == "lstm_peepholes":
            self.seen = [g.weights(UNITS) for _ in "ifo"]
        if kind == "lstm_projected":
            self.projection = g.weights(UNITS, PROJECTED)

    @property
    def sizes(self) -> list[int]:
        """Of the states."""
        first = PROJECTED if self.kind == "lstm_projected" else UNITS
        return [first, UNITS] if self.kind.startswith("lstm") else [first]

    @property
    def states(self) -> int:
        return len(self.sizes)

    def step(self, x: str, states: Sequence[str]) -> list[str]:
        """The new states."""
        return getattr(self, f"_{self.kind}")(x, *states)

    def _both(self, x: str, h: str) -> tuple[str, str]:
        left = self.g.add("Gemm", [x, *self.w], transB=1)
        return left, self.g.add("Gemm", [h, *self.more], transB=1)

    def _gru(self, x: str, h: str) -> list[str]:
        add = self.g.add
        left, right = self._both(x, h)
        r_x, z_x, n_x = add("Split", [left], 3, axis=1)
        r_h, z_h, n_h = add("Split", [right], 3, axis=1)
        r = add("Sigmoid", [add("Add", [r_x, r_h])])
        z = add("Sigmoid", [add("Add", [z_x, z_h])])
        n = add("Tanh", [add("Add", [n_x, add("Mul", [r, n_h])])])
        return [add("Add", [n, add("Mul", [z, add("Sub", [h, n])])])]

    def _gru_before(self, x: str, h: str) -> list[str]:
        add = self.g.add
        gates = add("Gemm", [add("Concat", [x, h], axis=1), *self.w], transB=1)
        z, r = add("Split", [add("Sigmoid", [gates])], 2, axis=1)
        reset = add("Concat", [x, add("Mul", [r, h])], axis=1)
        n = add("Tanh", [add("Gemm", [reset, *self.more], transB=1)])
        keep = add("Sub", [h, add("Mul", [z, h])])
        return [add("Add", [keep, add("Mul", [z, n])])]

    def _lstm(self, x: str, h: str, c: str) -> list[str]:
        add = self.g.add
        i, f, g, o = add("Split", [add("Add", self._both(x, h))], 4, axis=1)
        i, f, o = (add("Sigmoid", [one]) for one in (i, f, o))
        kept, new = add("Mul", [f, c]), add("Mul", [i, add("Tanh", [g])])
        c = add("Add", [kept, new])
        return [add("Mul", [o, add("Tanh", [c])]), c]

    def _lstm_joined(self, x: str, h: str, c: str) -> list[str]:
        add = self.g.add
        gates = add("Gemm", [add("Concat", [x, h], axis=1), *self.w], transB=1)
        i, f, o, g = add("Split", [gates], 4, axis=1)
        three = add("Sigmoid", [add("Concat", [i, f, o], axis=1)])
        i, f, o = add("Split", [three], 3, axis=1)
        c = add("Add", [add("Mul", [i, add("Tanh", [g])]), add("Mul", [c, f])])
        return [add("Mul", [add("Tanh", [c]), o]), c]

    def _lstm_peepholes(self, x: str, h: str, c: str) -> list[str]:
        add = self.g.add
        i, f, g, o = add("Split", [add("Add", self._both(x, h))], 4, axis=1)
        i, f = (
            add("Sigmoid", [add("Add", [gate, add("Mul", [c, seen])])])
            for gate, seen in zip((i, f), self.seen, strict=False)
        )
        c = add("Add", [add("Mul", [f, c]), add("Mul", [i, add("Tanh", [g])])])
        o = add("Sigmoid", [add("Add", [o, add("Mul", [self.seen[2], c])])])
        return [add("Mul", [o, add("Tanh", [c])]), c]

    def _lstm_projected(self, x: str, h: str, c: str) -> list[str]:
        m, c = self._lstm(x, h, c)
        return [self.g.add("MatMul", [m, self.projection]), c]

    def _rnn(self, x: str, h: str) -> list[str]:
        return [self.g.add("Tanh", [self.g.add("Add", self._both(x, h))])]


def unrolled(
    kind: str, steps: int = 5, *, backwards: bool = False, layers: int = 1, given: bool = False
) -> ModelProto:
    """Cells over the steps of ``x`` [batch, steps, INPUTS]: ``y``, all states of the last layer,
    and its last one, ``h``.

    Parameters
    ----------
    given: the first states are inputs; else they are zeros of the batch's size.
    """
    g = Graph(opset=12)
    x = g.input("x", ["batch", steps, INPUTS])
    cells = [Cell(g, kind)]
    while len(cells) < layers:
        cells.append(Cell(g, kind, cells[0].sizes[0]))
    states = []
    for k, cell in enumerate(cells):
        if given:
            names = [f"s{k}_{j}" for j in range(cell.states)]
            given_states = zip(names, cell.sizes, strict=True)
            states.append([g.input(name, ["batch", size]) for name, size in given_states])
        else:
            batch = g.add("Slice", [g.add("Shape", [x]), g.ints(0), g.ints(1)])
            shapes = [g.add("Concat", [batch, g.ints(size)], axis=0) for size in cell.sizes]
            states.append([g.add("ConstantOfShape", [shape]) for shape in shapes])
    found = {}
    order = range(steps)
    for t in reversed(order) if backwards else order:
        read = g.add("Gather", [x, g.const(t)], axis=1)
        for k, cell in enumerate(cells):
            states[k] = cell.step(read, states[k])
            read = states[k][0]
        found[t] = g.unsqueeze(read, 1)
    g.output(g.add("Concat", [found[t] for t in order], axis=1), "y")
    g.output(states[-1][0], "h")
    return g.model()


def looped(op: str, kind: str, *, backwards: bool = False) -> ModelProto:
    """A `Scan` or `Loop` over ``x`` [time, batch, INPUTS] with the cell's step as its body."""
    g = Graph(opset=15)
    cell = Cell(g, kind)
    names = [f"in{k}" for k in range(cell.states)]
    read = "step"
    if op == "Loop":
        read = g.add("Gather", ["x", "number"], axis=0)
        g.add("Identity", ["going"])
    states = cell.step(read, names)
    g.nodes.append(helper.make_node("Identity", [states[0]], ["each"]))
    body_nodes, g.nodes = g.nodes, []

    def value(name: str, shape: Sequence[int | str] | None, kind: int = TensorProto.FLOAT):
        return helper.make_tensor_value_info(name, kind, shape)

    sizes = cell.sizes
    given = [value(name, ["b", size]) for name, size in zip(names, sizes, strict=True)]
    results = [value(name, ["b", size]) for name, size in zip(states, sizes, strict=True)]
    results.append(value("each", ["b", sizes[0]]))
    firsts = [g.input(f"s{k}", ["batch", size]) for k, size in enumerate(sizes)]
    x = g.input("x", ["time", "batch", INPUTS])
    body: GraphProto
    if op == "Scan":
        body = helper.make_graph(
            body_nodes, "body", [*given, value("step", ["b", INPUTS])], results
        )
        way = [int(backwards)]
        made = g.add("Scan", [*firsts, x], 1 + cell.states, body=body, num_scan_inputs=1,
                     scan_input_directions=way, scan_output_directions=way)  # fmt: skip
    else:
        going = next(n.output[0] for n in body_nodes if list(n.input) == ["going"])
        before = [value("number", [], TensorProto.INT64), value("going", [], TensorProto.BOOL)]
        body = helper.make_graph(
            body_nodes, "body", [*before, *given], [value(going, [], TensorProto.BOOL), *results]
        )
        count = g.squeeze(g.add("Slice", [g.add("Shape", [x]), g.ints(0), g.ints(1)]), 0)
        made = g.add("Loop", [count, "", *firsts], 1 + cell.states, body=body)
    for k, name in enumerate(made):
        g.output(name, f"y{k}")
    return g.model(check=False)
