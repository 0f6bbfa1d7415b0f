"""The report's figures: inline SVG, in the page's own colours."""

from collections.abc import Sequence
from html import escape

__all__ = ["Bar", "Box", "bars", "flow", "machine", "stacked"]

Bar = tuple[str, float, str]  #: name, share of the whole (0 to 1), text behind the bar
#: A piece of the machine: its name, what it is, and its memories with how full they are.
Box = tuple[str, str, Sequence[tuple[str, float]]]

_ROW, _NAME, _LENGTH, _TEXT = 28, 190, 380, 250
_BOX, _GAP, _HIGH = 200, 40, 30
#: Boxes in a row of the flow.
_ACROSS = 4
#: A memory in the drawing of the machine: width, height and distance to the next.
_TANK, _DEEP, _NEXT = 26, 96, 74


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
    """Boxes from left to right, in rows: where (host or machine), a name, and the lines in the
    box."""
    lines = max((len(inside) for _, _, inside in stages), default=1)
    height = _HIGH * (lines + 1) + 20
    rows = -(-len(stages) // _ACROSS)
    width = (_BOX + _GAP) * min(len(stages), _ACROSS)
    parts = [_start(title, width, (height + _GAP) * rows - _GAP)]
    for number, (where, name, inside) in enumerate(stages):
        x, top = (_BOX + _GAP) * (number % _ACROSS), (height + _GAP) * (number // _ACROSS)
        parts.append(
            f'<rect class="{where}" x="{x + 1}" y="{top + 1}" width="{_BOX}" '
            f'height="{height - 2}" rx="6"/>'
            f'<text class="name" x="{x + 12}" y="{top + 22}">{escape(_short(name))}</text>'
        )
        parts += [
            f'<text x="{x + 12}" y="{top + 22 + _HIGH * (k + 1)}">{escape(_short(one))}</text>'
            for k, one in enumerate(inside)
        ]
        if number + 1 < len(stages):
            y = top + height // 2
            parts.append(
                f'<path class="arrow" d="M{x + _BOX + 6} {y}h{_GAP - 18}m-6 -6l8 6l-8 6"/>'
            )
    return "".join([*parts, "</svg>"])


def machine(title: str, boxes: Sequence[Box], below: Box) -> str:
    """The machine: boxes from left to right in the order in which values go through them, back from
    the last to the first, and one below that tells all of them what to do. Memories stand in them,
    filled from below."""
    widths = [max(150, _NEXT * len(memories) + 16) for _, _, memories in boxes]
    wide = max(150, _NEXT * len(below[2]) + 16)
    total = max(sum(widths) + _GAP * (len(boxes) - 1), wide) + 4
    high = _DEEP + 82
    parts = [_start(title, total, 2 * high + 62)]
    x, middle = 2, high // 2
    for number, ((name, what, memories), width) in enumerate(zip(boxes, widths, strict=True)):
        parts.append(_box(x, 2, width, high, name, what, memories))
        if number + 1 < len(boxes):
            parts.append(
                f'<path class="arrow" d="M{x + width + 5} {middle}h{_GAP - 16}m-6 -6l8 6l-8 6"/>'
            )
        x += width + _GAP
    ends = (2 + widths[0] // 2, x - _GAP - widths[-1] // 2)
    if len(boxes) > 1:
        parts.append(
            f'<path class="arrow" d="M{ends[1]} {high + 4}v16H{ends[0]}v-14m-6 8l6 -8l6 8"/>'
            f'<text x="{sum(ends) // 2}" y="{high + 36}" text-anchor="middle">'
            "hidden states and outputs</text>"
        )
    parts.append(_box(2, high + 50, wide, high, *below))
    return "".join([*parts, "</svg>"])


def _box(
    x: int,
    y: int,
    width: int,
    height: int,
    name: str,
    what: str,
    memories: Sequence[tuple[str, float]],
) -> str:
    parts = [
        f'<rect class="machine" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>'
        f'<text class="name" x="{x + 10}" y="{y + 20}">{escape(_short(name))}</text>'
        f'<text x="{x + 10}" y="{y + 38}">{escape(_short(what))}</text>'
    ]
    for number, (memory, share) in enumerate(memories):
        left, top = x + 30 + _NEXT * number, y + 48
        level = min(1.0, share) * (_DEEP - 18)
        base = top + _DEEP - 18
        kind = "over" if share > 1 else "bar"
        parts.append(
            f'<rect class="track" x="{left}" y="{top}" width="{_TANK}" height="{_DEEP - 18}"/>'
            f'<rect class="{kind}" x="{left}" y="{base - level:.1f}" width="{_TANK}" '
            f'height="{level:.1f}"><title>{escape(memory)}: {share:.0%}</title></rect>'
            f'<text x="{left + _TANK // 2}" y="{base + 16}" text-anchor="middle">{share:.0%}</text>'
            f'<text class="small" x="{left + _TANK // 2}" y="{base + 30}" text-anchor="middle">'
            f"{escape(memory)}</text>"
        )
    return "".join(parts)


def stacked(title: str, causes: Sequence[str], rows: Sequence[tuple[str, Sequence[float]]]) -> str:
    """Horizontal bars of shares that make up a whole, with what each colour stands for below."""
    height = _ROW * (max(1, len(rows)) + len(causes)) + 14
    parts = [_start(title, _NAME + _LENGTH + _TEXT, height)]
    for number, (name, shares) in enumerate(rows):
        y, x = _ROW * number + 4, float(_NAME)
        parts.append(
            f'<text x="{_NAME - 8}" y="{y + 15}" text-anchor="end">{escape(_short(name))}</text>'
            f'<rect class="track" x="{_NAME}" y="{y}" width="{_LENGTH}" height="20"/>'
        )
        for k, (cause, share) in enumerate(zip(causes, shares, strict=True)):
            long = max(0.0, share) * _LENGTH
            parts.append(
                f'<rect class="s{k}" x="{x:.1f}" y="{y}" width="{long:.1f}" height="20">'
                f"<title>{escape(name)}, {escape(cause)}: {share:.1%}</title></rect>"
            )
            x += long
        parts.append(f'<text x="{_NAME + _LENGTH + 8}" y="{y + 15}">{shares[0]:.1%} useful</text>')
    for k, cause in enumerate(causes):
        y = _ROW * (len(rows) + k) + 14
        parts.append(
            f'<rect class="s{k}" x="{_NAME}" y="{y}" width="20" height="14"/>'
            f'<text x="{_NAME + 28}" y="{y + 12}">{escape(cause)}</text>'
        )
    return "".join([*parts, "</svg>"])


def _start(title: str, width: int, height: int) -> str:
    return (
        f'<svg role="img" aria-label="{escape(title, quote=True)}" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}"><title>{escape(title)}</title>'
    )


def _short(text: str) -> str:
    return text if len(text) <= 26 else text[:24] + "…"
