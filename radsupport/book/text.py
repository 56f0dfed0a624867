"""Text from data stays text on a page: nothing in it is read as HTML, Markdown, a role of MyST or a formula.

A sentence of a page mixes markup of ours (``**strong**``, lists) with texts of a study file and of tables, such as
names of levels, of cohorts and of patients. `know` is told those texts when a chapter opens its study and reads its
tables, and `sentence` finds them again in the finished sentence, so that no function that words something has to care.
HTML is never markup of ours: whatever looks like it is shown as it is written. Paths of this machine become paths in
the project.

Pages of real studies name nobody: `hide` is told who is in the study, and whatever is shown of text (sentences,
captions, cells, headers, figures with their alt text) has running numbers of its page in the place of their ids. The
key to them is `numbers_given`; it stays with the results.
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
from radsupport.plots import base

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
    real = False
    people: Mapping[str, str] = {}  # id without case -> id
    numbers: Mapping[str, str] = {}  # id without case -> its number on this page
    named: re.Pattern[str] | None = None
    withholds = False  # tables with a row per patient


#: Why a table is not offered to take along.
WITHHELD = "not to be taken along, as it has a row per patient and the study file does not say that these are public"
_PEOPLE = {"subject", "patient", "case", "residual"}


def forget(root: Path) -> None:
    """Begin a page of a project: no text of data is known yet, and nobody is hidden."""
    _Data.texts, _Data.pattern, _Data.root = frozenset(), None, root
    _Data.real, _Data.people, _Data.numbers, _Data.named = False, {}, {}, None
    _Data.withholds = False
    base.LABELS.shown = shown


def hide(subjects: Iterable[object]) -> None:
    """Show running numbers in the place of these ids from now on, and of those in tables that become known."""
    _Data.real = True
    new = {" ".join(subject.split()).casefold(): subject for subject in map(str, subjects) if subject.strip()}
    if new.keys() - _Data.people.keys():
        _Data.people = {**new, **_Data.people}
        _Data.named = naming(_Data.people.values())


def withhold() -> None:
    """Offer no table with a row per patient from now on."""
    _Data.withholds = True


def withheld(table: pd.DataFrame) -> bool:
    """Tell whether a table is not to be taken along: of single patients, named or with their time and event."""
    names = {str(name).casefold() for name in table.columns}
    return _Data.withholds and bool(names & _PEOPLE or {"time", "event"} <= names)


def distinct(subject: str) -> bool:
    """Tell whether an id can be told from other words and numbers wherever it stands.

    Ids of fewer than four characters and plain numbers of fewer than six digits can not; they are looked for only where
    a column of subjects or a word such as "patient" says what they are.
    """
    return len(subject) >= 4 and not re.fullmatch(r"[-+]?\d{1,5}([.,]\d+)?", subject)


def naming(subjects: Iterable[str]) -> re.Pattern[str]:
    """Return what finds these ids in a text, as whole words, in any case; an id that is not `distinct` behind a word.

    An id is the group ``id``; what is no part of it stands in the group ``before``. A number behind a comma is the next
    cell of a CSV; only a short id may be the begin of a decimal number there.
    """
    ordered = sorted(set(subjects), key=len, reverse=True)
    plain, told = ([_spaced(one) for one in ordered if distinct(one) == kind] for kind in (False, True))
    nobody = r"(?!)"
    return re.compile(
        rf"(?<![^\W_])(?<!\d\.(?=\d))(?:(?P<id>{'|'.join(told) or nobody})"
        rf"|(?P<before>(?:patient|case|subject)\s+)(?P<short>{'|'.join(plain) or nobody})(?!(?<=\d),\d))"
        r"(?![^\W_])(?!(?<=\d)\.\d)",
        re.IGNORECASE,
    )


def _spaced(subject: str) -> str:
    return r"\s+".join(map(re.escape, subject.split()))


def hides() -> bool:
    """Tell whether the page is one of a real study, some of whose ids are known."""
    return _Data.named is not None


def nameless(text: str) -> str:
    """Return a text with running numbers of this page in the place of the ids of a real study."""
    if _Data.named is None:
        return text
    return _Data.named.sub(lambda found: (found["before"] or "") + _number(found["id"] or found["short"]), text)


def _number(subject: str) -> str:
    known = " ".join(subject.split()).casefold()
    if known not in _Data.numbers:
        _Data.numbers = {**_Data.numbers, known: f"No. {len(_Data.numbers) + 1}"}
    return _Data.numbers[known]


def _person(cell: str) -> str:
    """Return a cell of a column of subjects: an id, or words that begin with one."""
    first = next((end for end in _ends(cell) if cell[:end].casefold() in _Data.people), 0)
    return _number(cell[:first]) + cell[first:] if first else nameless(cell)


def _ends(cell: str) -> list[int]:
    return [len(cell), *(found.start() for found in reversed(list(re.finditer(r"[ ,]", cell))))]


def numbers_given() -> pd.DataFrame:
    """Return the key to this page: number and subject."""
    rows = [(number, _Data.people.get(known, known)) for known, number in _Data.numbers.items()]
    return pd.DataFrame(rows, columns=["number", "subject"])


def know(found: Any) -> None:
    """Remember the texts of a study file's content (mappings, lists, texts) or of a table, keys and columns as well."""
    if _Data.real and isinstance(found, pd.DataFrame) and "subject" in found:
        hide(found["subject"].dropna().unique())
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
    markdown = nameless(markdown)
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
    text = nameless(text)
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
    """Return a table whose texts name paths as `relative` does, and nobody."""
    found = table
    for name in table.select_dtypes(["object", "category", "string"]) if table.columns.is_unique else ():
        values, word = list(table[name]), _person if name == "subject" and _Data.real else relative
        short = [word(value) if isinstance(value, str) else value for value in values]
        if any(one is not other for one, other in zip(values, short, strict=True)):
            found = found.copy(deep=False)
            found[name] = short
    heads = {name: nameless(name) for name in table.columns if _Data.named and isinstance(name, str)}
    return found.rename(columns=heads) if any(name != word for name, word in heads.items()) else found
