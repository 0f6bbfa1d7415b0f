"""The report's figures: inline SVG, in the page's own colours."""

from collections.abc import Sequence
from html import escape

__all__ = ["Bar", "bars", "flow"]

Bar = tuple[str, float, str]  #: name, share of the whole (0 to 1), text behind the bar

_ROW, _NAME, _LENGTH, _TEXT = 28, 190, 380, 250
_BOX, _GAP, _HIGH = 200, 40, 30


def bars(title: str, rows: Sequence[Bar]) -> str:
    """Horizontal bars, one under the other; the table behind the figure says the same."""
    height = _ROW * max(1, len(rows)) + 6
    parts = [_start(title, _NAME + _LENGTH + _TEXT, height)]
    for number, (name, share, text) in enumerate(rows):
        y = _ROW * number + 4
        length = max(1.0, min(1.0, share) * _LENGTH)
        kind = "over" if share > 1 else "bar"
        parts += [
            f'<text x="{_NAME - 8}" y="{y + 15}" text-anchor="end">{escape(_short(name))}</text>',
            f'<rect class="track" x="{_NAME}" y="{y}" width="{_LENGTH}" height="20"/>',
            f'<rect class="{kind}" x="{_NAME}" y="{y}" width="{length:.1f}" height="20">'
            f"<title>{escape(name)}: {escape(text)}</title></rect>",
            f'<text x="{_NAME + _LENGTH + 8}" y="{y + 15}">{escape(text)}</text>',
        ]
    return "".join([*parts, "</svg>"])


def flow(title: str, stages: Sequence[tuple[str, str, Sequence[str]]]) -> str:
    """Boxes from left to right: where (host or machine), a name, and the lines in the box."""
    lines = max((len(inside) for _, _, inside in stages), default=1)
    height = _HIGH * (lines + 1) + 20
    width = (_BOX + _GAP) * len(stages)
    parts = [_start(title, width, height)]
    for number, (where, name, inside) in enumerate(stages):
        x = (_BOX + _GAP) * number
        parts.append(
            f'<rect class="{where}" x="{x + 1}" y="1" width="{_BOX}" height="{height - 2}" rx="6"/>'
            f'<text class="name" x="{x + 12}" y="22">{escape(_short(name))}</text>'
        )
        parts += [
            f'<text x="{x + 12}" y="{22 + _HIGH * (k + 1)}">{escape(_short(one))}</text>'
            for k, one in enumerate(inside)
        ]
        if number + 1 < len(stages):
            y = height // 2
            parts.append(
                f'<path class="arrow" d="M{x + _BOX + 6} {y}h{_GAP - 18}m-6 -6l8 6l-8 6"/>'
            )
    return "".join([*parts, "</svg>"])


def _start(title: str, width: int, height: int) -> str:
    return (
        f'<svg role="img" aria-label="{escape(title, quote=True)}" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}"><title>{escape(title)}</title>'
    )


def _short(text: str) -> str:
    return text if len(text) <= 26 else text[:24] + "…"
