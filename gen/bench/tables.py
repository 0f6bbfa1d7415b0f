"""`make tables`: the tables of README and docs, from the JSON files of docs/results.

A file ``docs/results/FILE.json`` holds ``{"tables": {NAME: TABLE}}``. A page takes a table by the
marks ``<!-- table FILE/NAME -->`` and ``<!-- table FILE/NAME ends -->``, each on a line of its own,
and one value by ``<!-- value FILE/NAME ROW KEY -->text<!-- ends -->``. A table has

provenance: ``command``, ``date``, ``versions``, and perhaps ``note``: one line below the table.
columns: texts; or ``{"title", "text"}``, where the text is a format of a row's values.
rows: lists of cells in the order of the columns; or mappings of values.
of, columns, where: instead of rows: some columns of another table, and of its rows those that have
    one of the named cells in the named columns.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparnn.gen.errors import SparnnError

__all__ = ["Table", "fill", "main", "pages", "read_tables", "write_pages"]

RESULTS = Path("docs/results")

_TABLE = re.compile(r"<!-- table (\S+) -->\n(.*?)<!-- table \1 ends -->", re.DOTALL)
_VALUE = re.compile(r"<!-- value (\S+) ([^>]+?) -->(.*?)<!-- ends -->", re.DOTALL)


@dataclass(frozen=True)
class Table:
    """One table, as text.

    Members
    -------
    columns: their titles.
    rows: their cells, in the order of the columns.
    provenance: the line below the table; empty where there is none.
    values: the rows as they stand in the file, for single values.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    provenance: str
    values: tuple[Any, ...]

    def lines(self) -> list[str]:
        """The table in Markdown, without marks."""
        body = [f"| {' | '.join(row)} |" for row in (self.columns, *self.rows)]
        body.insert(1, "|---" * len(self.columns) + "|")
        below = ["", self.provenance] if self.provenance else []
        return ["", *body, *below, ""]


def read_tables(folder: Path) -> dict[str, Table]:
    """All tables of a folder's JSON files, by ``FILE/NAME``.

    Raises
    ------
    SparnnError: a file or one of its tables cannot be read.
    """
    given: dict[str, Mapping[str, Any]] = {}
    for file in sorted(folder.glob("*.json")):
        try:
            content = json.loads(file.read_text(encoding="utf-8"))["tables"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SparnnError(f"{file} cannot be read as tables ({error!r})") from None
        given |= {f"{file.stem}/{name}": table for name, table in content.items()}
    tables: dict[str, Table] = {}
    for chosen in (False, True):  # tables of tables come last
        for name, table in given.items():
            if ("of" in table) == chosen:
                try:
                    tables[name] = _chosen(table, tables) if chosen else _plain(table)
                except (KeyError, ValueError, TypeError) as error:
                    raise SparnnError(f"table {name} of {folder} is damaged: {error!r}") from None
    return tables


def _plain(table: Mapping[str, Any]) -> Table:
    columns = table["columns"]
    titles = tuple(one if isinstance(one, str) else one["title"] for one in columns)
    rows = []
    for row in table["rows"]:
        if isinstance(row, Mapping):
            cells = tuple(_cell(one["text"], row) for one in columns)
        else:
            cells = tuple(row)
        if len(cells) != len(titles):
            raise ValueError(f"{len(cells)} cells for {len(titles)} columns: {cells}")
        rows.append(cells)
    return Table(titles, tuple(rows), _provenance(table["provenance"]), tuple(table["rows"]))


def _cell(text: str, row: Mapping[str, Any]) -> str:
    """A format of the row's values; empty where one is missing."""
    try:
        return text.format_map(row)
    except KeyError:
        return ""


def _chosen(table: Mapping[str, Any], tables: Mapping[str, Table]) -> Table:
    source = tables[table["of"]]
    places = [source.columns.index(title) for title in table["columns"]]
    where = {source.columns.index(title): cells for title, cells in table.get("where", {}).items()}
    kept = [
        place
        for place, row in enumerate(source.rows)
        if all(row[column] in cells for column, cells in where.items())
    ]
    rows = tuple(tuple(source.rows[row][column] for column in places) for row in kept)
    values = tuple(source.values[row] for row in kept)
    return Table(tuple(table["columns"]), rows, source.provenance, values)


def _provenance(given: Mapping[str, str]) -> str:
    parts = [f"`{given['command']}`"] if given.get("command") else []
    parts += [given[name] for name in ("date", "versions", "note") if given.get(name)]
    return ", ".join(parts) + "." if parts else ""


def fill(text: str, tables: Mapping[str, Table]) -> str:
    """A page with its marked tables and values as the JSON files have them.

    Raises
    ------
    SparnnError: a mark names a table, a row or a value that is not there.
    """

    def table(match: re.Match[str]) -> str:
        name = match[1]
        body = "\n".join(_named(name, tables).lines())
        return f"<!-- table {name} -->\n{body}\n<!-- table {name} ends -->"

    def value(match: re.Match[str]) -> str:
        found = _named(match[1], tables)
        row, _, text = match[2].partition(" ")
        try:
            content = text.format_map(_by_name(found.values[int(row)]))
        except (LookupError, ValueError, TypeError) as error:
            raise SparnnError(f"{match[1]} has no value {match[2]!r} ({error!r})") from None
        return f"<!-- value {match[1]} {match[2]} -->{content}<!-- ends -->"

    return _VALUE.sub(value, _TABLE.sub(table, text))


def _by_name(row: Any) -> Mapping[str, Any]:
    """A row's values by name; cells that stand in a list are c0, c1, …"""
    return row if isinstance(row, Mapping) else {f"c{k}": cell for k, cell in enumerate(row)}


def _named(name: str, tables: Mapping[str, Table]) -> Table:
    try:
        return tables[name]
    except KeyError:
        raise SparnnError(
            f"there is no table {name}: name one of {', '.join(sorted(tables))}"
        ) from None


def pages(top: Path) -> Iterable[Path]:
    """The pages that may have marks."""
    return [top / "README.md", *sorted((top / "docs").rglob("*.md"))]


def write_pages(top: Path, *, check: bool = False) -> list[Path]:
    """Fill the marks of all pages; return those that change (with ``check``: that would)."""
    tables = read_tables(top / RESULTS)
    changed = []
    for page in pages(top):
        text = page.read_text(encoding="utf-8")
        filled = fill(text, tables)
        if filled != text:
            changed.append(page)
            if not check:
                page.write_text(filled, encoding="utf-8")
    return changed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sparnn.gen.bench.tables", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 where it would")
    arguments = parser.parse_args()
    try:
        changed = write_pages(Path(), check=arguments.check)
    except (SparnnError, OSError) as error:
        print(f"sparnn: error: {error}", file=sys.stderr)
        return 2
    for page in changed:
        print(f"{page} {'differs from' if arguments.check else 'rewritten from'} {RESULTS}")
    return 1 if changed and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
