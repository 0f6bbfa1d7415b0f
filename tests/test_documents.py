"""The documents: links, lines, dates, and tables that equal the JSON they come from."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sparnn.gen.bench.tables import fill, main, pages, read_tables, write_pages
from sparnn.gen.errors import SparnnError

LINK = re.compile(r"(?<!\\)\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")
MARKED = re.compile(r"<!-- (table|value) .*?<!-- (?:\1 \S+ )?ends -->", re.DOTALL)
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
DATE = re.compile(r"20\d\d-\d\d-\d\d")
#: Numbers of README's prose that no measurement gives: limits, sizes, versions, names.
PLAIN = re.compile(
    r"MASR|8-bit|450 held-out|1 to 1,024|64 to 96K|16 lanes|Python 3\.11|4 to 16|8 to 16|32-bit|"
    r"800 units|CC BY(?:-SA)?\s[34]\.0|Apache 2\.0|GPL-2|iCE40|ECP5|ULX3S|AXI4(?:-Lite|-Stream)?|"
    r"arXiv \d+\.\d+|(?:PACT|ISCA) \d+|Three"
)


def markdown(checkout: Path) -> list[Path]:
    """Every page of the repository."""
    tops = [*checkout.glob("*.md"), *(checkout / ".github").rglob("*.md")]
    below = [
        page
        for folder in ("docs", "examples", "constraints")
        for page in (checkout / folder).rglob("*.md")
    ]
    return sorted(tops + below)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as hosts and mkdocs make them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    found: set[str] = set()
    for line in text.splitlines():
        if match := re.match(r"#{1,6} (.*)", line):
            title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", match[1]).lower()
            found.add(re.sub(r"[^\w\- ]", "", title).strip().replace(" ", "-"))
    return found


def links(page: Path) -> Iterator[str]:
    """Relative links of a page, outside code."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for match in LINK.finditer(re.sub(r"`[^`\n]*`", "code", text)):
        if not re.match(r"[a-z]+:", match[1]):
            yield match[1]


def test_every_page_is_in_the_navigation(checkout: Path) -> None:
    navigation = (checkout / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (checkout / "docs").rglob("*.md"):
        name = page.relative_to(checkout / "docs").as_posix()
        assert re.search(rf"[ :-] {re.escape(name)}$", navigation, re.MULTILINE), name


def test_links_resolve(checkout: Path) -> None:
    broken = []
    for page in markdown(checkout):
        for link in links(page):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            where = f"{page.relative_to(checkout)}: {link}"
            if not target.exists():
                broken.append(f"{where} is not there")
            elif anchor and target.suffix == ".md" and anchor not in anchors(target):
                broken.append(f"{where} has no such heading")
    assert not broken, "\n".join(broken)


def test_named_files_exist(checkout: Path) -> None:
    """Paths in prose and code; notes and the changelog may name what is gone."""
    missing = [
        f"{page.relative_to(checkout)}: {name}"
        for page in markdown(checkout)
        if page.parent.name != "notes" and page.name != "CHANGELOG.md"
        for name in re.findall(
            r"(?<![\w/.-])((?:hdl|gen|sim|tests|docs|examples|constraints)/[\w/.-]*\w)",
            page.read_text(encoding="utf-8"),
        )
        if not (checkout / name).exists()
    ]
    assert not missing, "\n".join(missing)


def test_lines_can_be_read(checkout: Path) -> None:
    """Tables and code apart, no line has over 240 characters."""
    long = [
        f"{page.relative_to(checkout)}: {line[:60]}"
        for page in markdown(checkout)
        for line in FENCE.sub("", page.read_text(encoding="utf-8")).splitlines()
        if len(line) > 240 and not line.startswith("|")
    ]
    assert not long, "\n".join(long)


def test_reference_pages_have_no_dates(checkout: Path) -> None:
    dated = [
        f"{page.name}: {line[:80]}"
        for page in sorted((checkout / "docs").glob("*.md"))
        for line in page.read_text(encoding="utf-8").splitlines()
        if DATE.search(line)
    ]
    assert not dated, "they belong into docs/notes or docs/results:\n" + "\n".join(dated)


def test_tables_equal_their_json(checkout: Path) -> None:
    changed = write_pages(checkout, check=True)
    assert not changed, f"`make tables` rewrites {', '.join(map(str, changed))}"


def test_every_table_is_on_a_page(checkout: Path) -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in pages(checkout))
    unused = [
        name
        for name in read_tables(checkout / "docs" / "results")
        if f"<!-- table {name} -->" not in text and f"<!-- value {name} " not in text
    ]
    assert not unused


def test_numbers_of_the_readme_come_from_json(checkout: Path) -> None:
    """Whatever stands outside marked tables and values is no measurement."""
    text = (checkout / "README.md").read_text(encoding="utf-8")
    text = FENCE.sub("", MARKED.sub("", text))
    text = re.sub(r"\]\([^)]*\)", "]", re.sub(r"`[^`\n]*`", "", text))
    numbers = re.findall(r".{0,30}\d[\d.,]*.{0,20}", PLAIN.sub("", text))
    prose = [found for found in numbers if not found.startswith("| numbers ")]
    assert not prose, f"mark them as values, or name them in PLAIN: {prose}"


def test_user_guide_shows_the_measured_report(checkout: Path) -> None:
    """The console output of the guide is that of the digits LSTM in docs/results/examples.json."""
    tables = read_tables(checkout / "docs" / "results")
    (row,) = (row for row in tables["examples/digits"].values if row["network"] == "LSTM")
    guide = (checkout / "docs" / "user-guide.md").read_text(encoding="utf-8")
    assert f"cycles         {row['cycles']}, {row['cycles_per_step']:.1f} per step" in guide
    assert f"utilization    {100 * row['utilization']:.1f} % of {row['mac_units']} MAC" in guide


JSON = """{"tables": {
 "plain": {"provenance": {"command": "do it", "date": "d"}, "columns": ["a", "b"],
           "rows": [["1", "x"], ["2", "y"]]},
 "values": {"provenance": {}, "columns": [{"title": "n", "text": "{n:,.1f}"},
            {"title": "m", "text": "{m}"}], "rows": [{"n": 1234.56, "m": 1}, {"n": 2}]},
 "some": {"of": "f/plain", "columns": ["b"], "where": {"a": ["2"]}}
}}"""


def test_marks_are_filled(tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text(JSON, encoding="utf-8")
    tables = read_tables(tmp_path)
    assert tables["f/plain"].lines() == [
        "",
        "| a | b |",
        "|---|---|",
        "| 1 | x |",
        "| 2 | y |",
        "",
        "`do it`, d.",
        "",
    ]
    assert tables["f/values"].rows == (("1,234.6", "1"), ("2.0", ""))
    assert tables["f/some"].rows == (("y",),)
    page = "a <!-- value f/values 0 {n:.0f} -->old<!-- ends --> b\n<!-- table f/some -->\nold\n"
    page += "<!-- table f/some ends -->\n"
    filled = fill(page, tables)
    assert "a <!-- value f/values 0 {n:.0f} -->1235<!-- ends --> b" in filled
    assert "| y |" in filled
    assert "old" not in filled
    assert fill(filled, tables) == filled


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("<!-- table f/none -->\n<!-- table f/none ends -->", "there is no table f/none"),
        ("<!-- value f/values 7 {n} --><!-- ends -->", "has no value"),
        ("<!-- value f/values 0 {k} --><!-- ends -->", "has no value"),
    ],
)
def test_marks_without_a_table_are_refused(tmp_path: Path, page: str, message: str) -> None:
    (tmp_path / "f.json").write_text(JSON, encoding="utf-8")
    with pytest.raises(SparnnError, match=message):
        fill(page, read_tables(tmp_path))


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        '{"tables": {"t": {"columns": ["a"], "rows": [["1", "2"]], "provenance": {}}}}',
        '{"tables": {"t": {"of": "f/other", "columns": ["a"]}}}',
    ],
)
def test_damaged_results_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "f.json").write_text(text, encoding="utf-8")
    with pytest.raises(SparnnError, match=r"cannot be read|is damaged"):
        read_tables(tmp_path)


def test_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs" / "results").mkdir(parents=True)
    (tmp_path / "docs" / "results" / "f.json").write_text(JSON, encoding="utf-8")
    readme = tmp_path / "README.md"
    readme.write_text("<!-- table f/some -->\n<!-- table f/some ends -->\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["tables", "--check"])
    assert main() == 1
    assert "| y |" not in readme.read_text(encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["tables"])
    assert main() == 0
    assert "| y |" in readme.read_text(encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["tables", "--check"])
    assert main() == 0
    assert "README.md rewritten from" in capsys.readouterr().out
