"""Text from data stays text on a page: nothing in it is read as HTML, Markdown, a role of MyST or a formula.

A sentence of a page mixes markup of ours (``**strong**``, lists) with texts of a study file and of tables, such as
names of levels, of cohorts and of patients. `know` is told those texts when a chapter opens its study and reads its
tables, and `sentence` finds them again in the finished sentence, so that no function that words something has to care.
HTML is never markup of ours: whatever looks like it is shown as it is written. Paths of this machine become paths in
the project.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from markdown_it import MarkdownIt

from radsupport.files import MIRROR

#: What Markdown or MyST could take for markup: anywhere, between words, and where a line begins.
_MARKUP = re.compile(r"[&<>\\`*{}\[\]|$~]|(?<!\w)_+|_+(?!\w)")
_LINE_START = re.compile(r"(?m)^([ \t]*)([-+=#:%(]|\d+(?=[.)]))")
#: Texts that change a sentence of CommonMark; all others need no looking for.
_DANGEROUS = re.compile(r"<[A-Za-z/!?]|&#?\w+;|[\\`*$\[\]{}|]|~~|(?<!\w)_|_(?!\w)|\n|^\s*(?:[-+=#]|\d+[.)])(?=.{3})")
_HTML = re.compile(r"<(?=[A-Za-z/!?])")
_COMMONMARK = MarkdownIt("commonmark")
#: An absolute path: at least one folder before the last name, not part of an address or of a relative path.
_PATH = re.compile(r"(?<![\w/:.<*?+-])(?:[A-Za-z]:\\(?:[^\\\s:*?\"<>|]+\\)+|/(?:[^/\s:,;'\"<>|()]+/)+)(?=[^\s/])")


class _Data:
    """The texts of the page that is being made."""

    texts: frozenset[str] = frozenset()
    pattern: re.Pattern[str] | None = None
    root = Path()


def forget(root: Path) -> None:
    """Begin a page of a project: no text of data is known yet."""
    _Data.texts, _Data.pattern, _Data.root = frozenset(), None, root


def know(found: Any) -> None:
    """Remember the texts of a study file's content (mappings, lists, texts) or of a table, keys and columns as well."""
    texts = {text for text in _texts(found) if _DANGEROUS.search(text) and any(map(str.isalnum, text))}
    if texts - _Data.texts:
        _Data.texts |= texts
        longest = sorted(_Data.texts, key=len, reverse=True)
        _Data.pattern = re.compile("|".join(map(re.escape, longest)), re.IGNORECASE)


def _texts(found: Any) -> Iterable[str]:
    if isinstance(found, str):
        yield found.strip()
    elif isinstance(found, pd.DataFrame):
        yield from map(str, found.columns)
        for column in found.select_dtypes(["object", "category", "string"]):
            yield from (value.strip() for value in found[column].unique() if isinstance(value, str))
    elif isinstance(found, Mapping):
        for key, value in found.items():
            yield from _texts(key)
            yield from _texts(value)
    elif isinstance(found, Sequence | set):
        for value in found:
            yield from _texts(value)


def literal(text: object, *, one_line: bool = False) -> str:
    """Return Markdown (or MyST) that shows a text as it is written; on one line for headings and cells."""
    words = " ".join(str(text).split()) if one_line else re.sub(r"\n[ \t]+", "\n", str(text))
    words = _MARKUP.sub(lambda found: _entity(found[0]), words)
    return _LINE_START.sub(lambda found: found[1] + _entity(found[2]), words)


def _entity(start: str) -> str:
    return "".join(f"&#{ord(character)};" for character in start)


def sentence(markdown: str) -> str:
    """Return a sentence of ours with every known text of the data, every tag and every path as plain text."""
    if _Data.pattern is not None:
        markdown = _Data.pattern.sub(lambda found: literal(found[0]), markdown)
    markdown = relative(markdown)
    if len(_HTML.findall(markdown)) > sum(len(_HTML.findall(code)) for code in _code(markdown)):
        markdown = _HTML.sub("&lt;", markdown)
    return markdown


def _code(markdown: str) -> Iterable[str]:
    """Yield what Markdown takes for code, where tags are plain text."""
    for block in _COMMONMARK.parse(markdown):
        if block.type in ("fence", "code_block"):
            yield block.content
        yield from (inner.content for inner in block.children or [] if inner.type == "code_inline")


def relative(text: str) -> str:
    """Return a text with paths as they are in the project or below its data; others keep their last name only."""
    if "/" not in text and ":\\" not in text:
        return text
    for place, short in _places():
        text = text.replace(place, short)
    return _PATH.sub("…/", text)


def _places() -> list[tuple[str, str]]:
    root, mirror = _Data.root, os.environ.get(MIRROR, "")
    folders = [(root / "data", "data/"), (root / "results", "results/"), (root, ""), (Path.cwd(), "")]
    folders += [(Path(mirror).expanduser(), "")] if mirror else []
    folders += [(Path(sys.prefix), ""), (Path(__file__).parents[2], "")]
    found = {f"{path}/": short for folder, short in folders for path in (folder.absolute(), folder.resolve())}
    return sorted(((place, short) for place, short in found.items() if len(place) > 2), key=lambda one: -len(one[0]))


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose texts name paths as `relative` does."""
    found = table
    for name in table.select_dtypes(["object", "category", "string"]) if table.columns.is_unique else ():
        values = list(table[name])
        short = [relative(value) if isinstance(value, str) else value for value in values]
        if any(one is not other for one, other in zip(values, short, strict=True)):
            found = found.copy(deep=False)
            found[name] = short
    return found
