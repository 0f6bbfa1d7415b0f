"""Generated parts of a Markdown page."""

from collections.abc import Sequence
from pathlib import Path

from sparnn.gen.errors import SparnnError

__all__ = ["replace_marked"]


def replace_marked(page: Path, name: str, lines: Sequence[str]) -> None:
    """Put ``lines`` between ``<!-- NAME -->`` and ``<!-- NAME ends -->`` of a page.

    Raises
    ------
    SparnnError: the page cannot be read or written, or does not have both marks once, in order.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- {name} ends -->"
    try:
        text = page.read_text(encoding="utf-8")
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed) or text.count(begin) > 1 or text.count(end) > 1:
            raise SparnnError(
                f"{page} must have the lines {begin.strip()} and {end} once, in this order; "
                f"restore them, or leave the page out"
            )
        page.write_text(before + begin + "\n".join(lines) + "\n" + end + after, encoding="utf-8")
    except OSError as error:
        raise SparnnError(f"{page} cannot be rewritten ({error.strerror or error})") from None
