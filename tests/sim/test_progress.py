"""Progress: late, rare, on standard error alone, and not twice."""

import io
import sys
import threading
import time

import pytest

from sparnn.sim import progress as module
from sparnn.sim.progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(module, "DELAY", 0.05)
    monkeypatch.setattr(module, "QUIET", 0.05)


def test_short_work_leaves_no_trace(monkeypatch, capsys):
    with progress("Working", total=2) as advance:
        advance(1)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress("Working") as advance:
        advance(1)
    assert terminal.getvalue() == ""
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


@pytest.mark.parametrize(
    ("total", "line"), [(4, "Working: 75 %, 0 s, about 0 s left"), (None, "Working: 0 s")]
)
def test_lines(quick, capsys, total, line):
    with progress("Working", total=total) as advance:
        advance(1)
        advance(2)
        time.sleep(0.4)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert line in captured.err.splitlines()


def test_more_than_all_is_all(quick, capsys):
    with progress("Working", total=4) as advance:
        advance(9)
        time.sleep(0.4)
    assert "Working: 100 %" in capsys.readouterr().err


def test_bar(quick, monkeypatch, capsys):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress("Working", total=4) as advance:
        advance(2)
        time.sleep(0.6)
        print("result")  # standard output is the caller's
    assert "Working" in terminal.getvalue()
    assert "50%" in terminal.getvalue()
    assert capsys.readouterr().out == "result\n"


def test_work_inside_work_is_not_shown(quick, capsys):
    with progress("Outer"):
        with progress("Inner") as advance:
            advance(1)
            time.sleep(0.2)
    assert "Inner" not in capsys.readouterr().err
    with progress("Next"):
        time.sleep(0.4)
    assert "Next: 0 s" in capsys.readouterr().err


def test_errors_pass_and_end_it(quick):
    before = threading.active_count()
    for _ in range(2):
        with pytest.raises(ValueError, match="inside"), progress("Working"):
            raise ValueError("inside")
    assert threading.active_count() == before
