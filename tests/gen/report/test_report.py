"""The report's page: every figure is there, and nothing comes from elsewhere."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sparnn.gen.cli.main import main
from sparnn.gen.compile import compile_model
from sparnn.gen.report.report import report

DIGITS = Path(__file__).parents[3] / "examples" / "digits"
SECTIONS = ["graph", "memories", "cycles", "use", "slots", "noise", "saturation", "boards"]
#: For a browser that is not the user's own: no network, no profile.
HEADLESS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")


class Page(HTMLParser):
    """Tags by name, with their attributes; it fails where tags are not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    compile_model(DIGITS / "gru.onnx", DIGITS / "calibrate.npz", folder / "out", lanes=2)
    (folder / "out" / "report.json").write_text(json.dumps({"utilization": 0.5}))
    data = str(DIGITS / "test.npz")
    with pytest.raises(SystemExit) as stopped:
        main(["report", str(folder / "out"), "-o", str(folder / "r.html"), "--data", data])
    assert stopped.value.code == 0
    return folder / "r.html"


def test_every_figure_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    parsed = Page(text)
    assert [one["id"] for one in parsed.all("section")] == SECTIONS
    labels = [str(one["aria-label"]) for one in parsed.all("svg")]
    assert len(labels) == 8
    assert len(parsed.all("table")) == 8
    # By keyboard: links to every section, figures and tables that take the focus.
    links = [str(one["href"]) for one in parsed.all("a")]
    assert links[1:] == [f"#{name}" for name in SECTIONS]
    assert all(one["tabindex"] == "0" for one in parsed.all("figure"))
    assert len(parsed.all("summary")) == 8
    assert "gru: gru, 8 inputs" in text or "gru, 8 to 64" in text
    assert "Simulated: 50.0 % useful" in text
    assert "lanes that have less to do" in text
    assert "how full its memories are" in text
    assert re.search(r"[0-9.]+ dB", text)
    assert "µs at 50 MHz" in text


def test_it_is_one_file_for_screen_and_paper(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert not re.search(r"(src|href)=\"(?!#)", text)
    assert "<script" not in text
    assert "@import" not in text


def test_a_browser_shows_it(page: Path, tmp_path: Path) -> None:
    """The tests above have parsed the page in any case."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("needs Chromium on PATH")
    options = [f"--user-data-dir={tmp_path}", "--enable-logging=stderr", "--dump-dom"]
    command = [chromium, *HEADLESS, *options, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert re.findall(r'<section id="(\w+)"', done.stdout) == SECTIONS
    assert done.stdout.count("<svg") == 8
    assert "CONSOLE" not in done.stderr  # errors and warnings of the page


def test_slots_that_the_machine_counted(page: Path, tmp_path: Path) -> None:
    shares = {"pair": 0.5, "stall": 0.1, "empty": 0.1, "idle": 0.2, "tail": 0.1}
    measured = tmp_path / "report.json"
    measured.write_text(json.dumps({"utilization": 0.5, "slots": shares}))
    report(page.parent / "out", tmp_path / "r.html", simulation=measured)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "counted by the machine itself" in text
    assert "no room for a partial sum: 10.0%" in text
    assert "lanes that have less to do" not in text


def test_a_graph_names_the_operators_of_the_host(tmp_path: Path) -> None:
    spoken = DIGITS.parent / "spoken"
    compile_model(spoken / "gru.onnx", spoken / "calibrate.npz", tmp_path / "out", lanes=2)
    report(tmp_path / "out", tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "1 Conv" in text
    assert "1 Softmax" in text
    assert "machine, part 0" in text


def test_without_data_and_damaged(page: Path, capsys, tmp_path: Path) -> None:
    folder = page.parent / "out"
    with pytest.raises(SystemExit):
        main(["report", str(folder), "-o", str(tmp_path / "r.html")])
    assert "with --data" in (tmp_path / "r.html").read_text(encoding="utf-8")
    (tmp_path / "out").mkdir()
    shutil.copy(folder / "manifest.json", tmp_path / "out")
    with pytest.raises(SystemExit) as stopped:
        main(["report", str(tmp_path / "out"), "-o", str(tmp_path / "r.html")])
    assert stopped.value.code == 2
    assert "compile the model again" in capsys.readouterr().err
