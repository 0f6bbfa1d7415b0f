"""PyTorch modules in a form that its exporter writes: cells as layers, projections as layers.

PyTorch exports `LSTMCell`, `GRUCell` and `RNNCell` as loose operators and no LSTM with `proj_size`.
A copy of the module has layers in their place that compute the same.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from sparnn.gen.errors import SparnnError

__all__ = ["exportable"]

State = Any


class _Step(nn.Module):
    """A cell as a layer that runs for one step."""

    def __init__(self, cell: nn.RNNCellBase) -> None:
        super().__init__()
        self.layer: nn.RNNBase
        if isinstance(cell, nn.LSTMCell):
            self.layer = nn.LSTM(cell.input_size, cell.hidden_size, bias=cell.bias)
        elif isinstance(cell, nn.GRUCell):
            self.layer = nn.GRU(cell.input_size, cell.hidden_size, bias=cell.bias)
        else:
            assert isinstance(cell, nn.RNNCell)
            self.layer = nn.RNN(
                cell.input_size, cell.hidden_size, nonlinearity=cell.nonlinearity, bias=cell.bias
            )
        with torch.no_grad():
            for name, value in cell.named_parameters():
                getattr(self.layer, f"{name}_l0").copy_(value)

    def forward(self, x: Tensor, state: State = None) -> State:
        if state is None:
            _, state = self.layer(x[None])
        elif isinstance(state, tuple):
            _, state = self.layer(x[None], tuple(one[None] for one in state))
        else:
            _, state = self.layer(x[None], state[None])
        return tuple(one[0] for one in state) if isinstance(state, tuple) else state[0]


class _Projected(nn.Module):
    """An LSTM with `proj_size` as LSTMs of what is projected, R P in place of R, and projections.

    Exact for a zero initial state alone: of another `h` only its product with P would be known.
    """

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        self.batch_first = lstm.batch_first
        self.sides = 2 if lstm.bidirectional else 1
        self.layers, self.projections = nn.ModuleList(), nn.ModuleList()
        inputs = lstm.input_size
        for number in range(lstm.num_layers):
            layer = nn.LSTM(
                inputs, lstm.hidden_size, bias=lstm.bias, bidirectional=lstm.bidirectional
            )
            with torch.no_grad():
                for side in ["", "_reverse"][: self.sides]:
                    end = f"l{number}{side}"
                    p = getattr(lstm, f"weight_hr_{end}")
                    projection = nn.Linear(lstm.hidden_size, lstm.proj_size, bias=False)
                    projection.weight.copy_(p)
                    self.projections.append(projection)
                    recurrent = getattr(lstm, f"weight_hh_{end}") @ p
                    getattr(layer, f"weight_hh_l0{side}").copy_(recurrent)
                    for kind in ("weight_ih", *(("bias_ih", "bias_hh") if lstm.bias else ())):
                        getattr(layer, f"{kind}_l0{side}").copy_(getattr(lstm, f"{kind}_{end}"))
            self.layers.append(layer)
            inputs = lstm.proj_size * self.sides

    def forward(self, x: Tensor, state: State = None) -> State:
        if state is not None:
            raise SparnnError(
                "an LSTM with proj_size starts from zero: of another initial h only its product "
                "with the projection would be known; call it without a state"
            )
        y = x.transpose(0, 1) if self.batch_first else x
        hs, cs = [], []
        for number, layer in enumerate(self.layers):
            m, (h, c) = layer(y)
            parts = m.chunk(self.sides, dim=-1)
            both = self.projections[number * self.sides : (number + 1) * self.sides]
            y = torch.cat([p(part) for p, part in zip(both, parts, strict=True)], dim=-1)
            hs += [p(one) for p, one in zip(both, h, strict=True)]
            cs.append(c)
        y = y.transpose(0, 1) if self.batch_first else y
        return y, (torch.stack(hs), torch.cat(cs))


def exportable(module: nn.Module) -> nn.Module:
    """The module, or a copy in which cells and projected LSTMs are replaced."""
    if _replacement(module) is None and not any(_replacement(one) for one in module.modules()):
        return module
    whole = nn.ModuleList([copy.deepcopy(module)])
    for parent in list(whole.modules()):
        for name, child in list(parent.named_children()):
            other = _replacement(child)
            if other is not None:
                setattr(parent, name, other(child).train(child.training))
    return whole[0]


def _replacement(module: nn.Module) -> Any:
    """What takes its place; None: nothing."""
    if isinstance(module, nn.RNNCellBase):
        return _Step
    return _Projected if isinstance(module, nn.LSTM) and module.proj_size else None
