"""The table of docs/results/conformance.md is what the importer does today."""

import json
from pathlib import Path

from sparnn.gen.bench.conformance import cases, row


def test_every_option_is_computed_exactly_or_refused(checkout: Path) -> None:
    text = (checkout / "docs" / "results" / "conformance.json").read_text(encoding="utf-8")
    written = json.loads(text)["tables"]["operators"]["rows"]
    found = [row(case) for case in cases()]
    assert [(one["of"], one["option"], one["where"]) for one in found] == [
        (one["of"], one["option"], one["where"]) for one in written
    ]
    for one in found:
        if "error" in one:
            assert one["error"] < 1e-5, one
        else:
            assert one["why"], one
