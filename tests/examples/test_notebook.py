"""The notebook's cells, one after the other. Needs sparnn[train]."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs PyTorch: pip install 'sparnn[train]'")

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebooks" / "gru.ipynb"


def test_from_training_to_simulated_hardware() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    names: dict[str, Any] = {"__name__": "notebook"}
    for cell in cells:
        if cell["cell_type"] == "code":
            assert not cell["outputs"]  # committed without: they would age
            exec("".join(cell["source"]), names)  # the notebook's own code
    assert names["float_accuracy"] > 0.95
    assert names["integer_accuracy"] > names["float_accuracy"] - 0.01
    assert names["report"].bit_exact
