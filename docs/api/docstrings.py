"""Docstrings as numpydoc's parsers want them, for `make docs`.

Sections of this project have one member a line, ``name: text``, and may be called *Members* or
*Ports*. Parsers read the name alone on its line, and know *Attributes* instead.
"""

import re
from typing import Any

import griffe

_SECTION = re.compile(r"^(Parameters|Members|Ports|Attributes|Raises)\n(-{3,})$", re.MULTILINE)
#: Sphinx' cross references, of which the last name stays.
_ROLE = re.compile(r":(?:class|meth|func|attr|data|mod|exc):`~?(?:[\w.]*\.)?(\w+)`")
_MEMBER = re.compile(r"^(\S[^:\n]{0,60}?): (.*)$")


def numpydoc(text: str) -> str:
    """The docstring with each member's name on a line of its own."""
    parts = _SECTION.split(_ROLE.sub(r"`\1`", text))
    whole = parts[0]
    for title, rule, body in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        lines = []
        for line in body.split("\n"):
            match = _MEMBER.match(line)
            lines += [match[1], f"    {match[2]}"] if match else [line]
        name = "Attributes" if title in ("Members", "Ports") else title
        whole += f"{name}\n{rule}" + "\n".join(lines)
    return whole


class Docstrings(griffe.Extension):
    """Rewrites every docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = numpydoc(obj.docstring.value)
