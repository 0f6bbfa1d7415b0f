"""PyTorch modules, all options: near the module itself in integers. Needs sparnn[train]."""

from typing import Any

import numpy as np
import pytest

import sparnn
from sparnn.gen.errors import SparnnError

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'sparnn[train]'")
nn = torch.nn

ALL = {"num_layers": 2, "bidirectional": True, "batch_first": True}
OPTIONS: list[dict[str, Any]] = [
    {},
    {"num_layers": 2},
    {"bidirectional": True},
    {"batch_first": True},
    {"bias": False},
    ALL | {"dropout": 0.3},
]


@pytest.fixture(autouse=True)
def without_verilog(monkeypatch: pytest.MonkeyPatch) -> None:
    """The integers alone: what becomes of them in Verilog, others prove."""
    monkeypatch.setattr("sparnn.gen.machines.emit.kept_verilog", lambda config: "")
    torch.manual_seed(0)


def sample(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def check(module: Any, **arrays: np.ndarray) -> None:
    compiled = sparnn.compile(module, calibrate=arrays, lanes=2, activation_bits=12)
    given = sparnn.InferenceSession(compiled).run(None, arrays)
    with torch.no_grad():
        exact = flat(module.eval()(*map(torch.from_numpy, arrays.values())))
    assert len(given) == len(exact)
    for one, other in zip(given, exact, strict=True):
        assert one.shape == other.shape
        assert np.abs(one - other).max() < 0.02 * max(1, np.abs(other).max())


def flat(values: Any) -> list[np.ndarray]:
    if isinstance(values, tuple | list):
        return [one for value in values for one in flat(value)]
    return [values.numpy()]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_layers(kind: str, options: dict[str, Any]) -> None:
    check(getattr(nn, kind)(5, 6, **options), x=sample(7, 3, 5))


def test_names_of_outputs() -> None:
    """Those of the exporter are numbers; the inputs' names are taken."""

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(5, 6)

        def forward(self, y0: Any) -> Any:
            return self.gru(y0)

    compiled = sparnn.compile(Both(), calibrate={"y0": sample(7, 3, 5)}, lanes=1)
    session = sparnn.InferenceSession(compiled)
    assert [one.name for one in session.get_inputs()] == ["y0"]
    assert [one.name for one in session.get_outputs()] == ["y0_out", "y1"]


def test_relu() -> None:
    check(nn.RNN(5, 6, nonlinearity="relu"), x=sample(7, 3, 5))


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize("options", [{}, ALL], ids=str)
def test_projections(options: dict[str, Any]) -> None:
    check(nn.LSTM(5, 6, proj_size=3, **options), x=sample(7, 3, 5))


def test_projections_start_from_zero() -> None:
    class Started(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(5, 6, proj_size=3)

        def forward(self, x: Any, h: Any, c: Any) -> Any:
            return self.lstm(x, (h, c))[0]

    states = {"h": sample(1, 3, 3), "c": sample(1, 3, 6)}
    with pytest.raises(SparnnError, match="proj_size starts from zero"):
        check(Started(), x=sample(7, 3, 5), **states)


@pytest.mark.parametrize("kind", ["LSTMCell", "GRUCell", "RNNCell"])
def test_cells(kind: str) -> None:
    check(getattr(nn, kind)(5, 6), x=sample(3, 5))


def test_a_cell_inside_a_module() -> None:
    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.out = nn.LSTMCell(5, 6), nn.Linear(6, 2)

        def forward(self, x: Any, h: Any, c: Any) -> Any:
            h, c = self.cell(x, (h, c))
            return self.out(h), h, c

    module = Decoder()
    check(module, x=sample(3, 5), h=0.1 * sample(3, 6), c=0.1 * sample(3, 6))
    assert isinstance(module.cell, nn.LSTMCell)  # it was a copy that was changed


def test_around_a_layer() -> None:
    """A convolution in front and a softmax behind run on the host."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(5, 8, 3, padding=1)
            self.gru, self.out = nn.GRU(8, 6, batch_first=True), nn.Linear(6, 4)

        def forward(self, x: Any) -> Any:
            y = torch.relu(self.conv(x.transpose(1, 2))).transpose(1, 2)
            return self.out(self.gru(y)[0]).softmax(-1)

    check(Net(), x=sample(3, 7, 5))
