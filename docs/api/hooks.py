"""What `make docs` needs beyond mkdocs: the packages by their names, and no links to sources."""

import re
from pathlib import Path
from typing import Any

#: `[text](../gen/file.py)`: what lies outside docs/ is no page of the site.
_OUTSIDE = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+(?!docs/)[^)\s]+)\)")


def on_startup(**_: Any) -> None:
    """Let the folders hdl, gen, sim, driver and train be found as sparnn.hdl and so on.

    Before the configuration is read: mkdocstrings looks for its paths there.
    """
    top = Path(__file__).resolve().parents[2]
    package = top / "build" / "api" / "sparnn"
    package.mkdir(parents=True, exist_ok=True)
    for name in ("hdl", "gen", "sim", "driver", "train"):
        link = package / name
        if not link.is_symlink():
            link.symlink_to(top / name, target_is_directory=True)


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Turn links to files outside docs/ into the files' names."""
    docs = Path(config["docs_dir"])
    folder = (docs / page.file.src_uri).parent

    def plain(match: re.Match[str]) -> str:
        target = (folder / match[2].partition("#")[0]).resolve()
        if target.is_relative_to(docs):
            return match[0]
        name = target.relative_to(docs.parent)
        return f"`{name}`" if match[1] in str(name) else f"{match[1]} (`{name}`)"

    return _OUTSIDE.sub(plain, markdown)
