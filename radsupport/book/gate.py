"""No identifier leaves the house: what a built site holds that belongs to a person, or to the machine that built it.

Everything below the site is searched: pages, search index, scripts, notebooks, tables, text in pictures, archives.
Searched for are, of every real study, the subjects of its manifest and tables, what only one subject's path, NIfTI
description or DICOM header holds, cells that name somebody, and dates; and on any page what looks like a person's name
or an identifier of DICOM, an absolute path, and the names of this machine and its user. Values are compared as whole
words in any case. An id that is too short or too plain to be told from other numbers (`text.distinct`) is looked for
only in columns of subjects and behind words such as "patient".
"""

from __future__ import annotations

import base64
import csv
import getpass
import gzip
import hashlib
import html
import io
import itertools
import json
import os
import re
import socket
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pandas as pd
from PIL import Image

from radsupport.book import text as page_text
from radsupport.book.text import distinct, naming
from radsupport.data.manifest import CASE_ROLES, SUBJECT_ROLES, manifest_path, study_files
from radsupport.data.people import sheets_of, subjects_of
from radsupport.data.sheets import Sheet
from radsupport.errors import Problem, RadsupportError
from radsupport.files import write_changed
from radsupport.parallel import map_cases
from radsupport.settings.study import Study
from radsupport.study import STUDIES, StudyPaths, load_study, study_ids

SUBJECT, CELL, DATE = "the id of a patient", "a cell that names somebody", "a date of a patient"
PLACE, HEADER = "part of one patient's path", "what one patient's scan says of itself"
MACHINE, PATH = "the name of this machine or of its user", "a path of this machine"
NUMBERED = "show it with `book.show_…`, which numbers the patients of a real study"
#: How to mend each kind of finding.
REMEDIES = {
    SUBJECT: f"{NUMBERED}; where it stands in a text of the study file or of the manifest, reword that",
    CELL: "leave that column out of what is shown, or make it a column with levels",
    DATE: "show a number of days or a year instead",
    PLACE: "show the running number instead of the file",
    HEADER: "leave it out, and clear it in the file (`radsupport ingest` writes neither)",
    MACHINE: "remove it from the text that says it",
    PATH: "name files by their place in the project",
    "a UID of DICOM": "leave it out",
    "a person's name as DICOM writes it": "leave it out",
    "a tag of DICOM": "leave it out",
    "a file of data": "remove it from what is published",
    "an unreadable file": "make the site again, or remove the file",
}
#: What is found by its form on our own pages, and words or signs without which there is none; the root of DICOM's own
#: UIDs names nobody.
FORMS: dict[str, tuple[str, str]] = {
    "a UID of DICOM": (
        r"(?<![\w.])(?!1\.2\.840\.10008\.)[0-2](?:\.\d+){5,}(?![\w.])(?<=[\d.]{20})",
        "1.2. 1.3. 2.16. 2.25.",
    ),
    "a person's name as DICOM writes it": (r"(?<![\w\\^])[A-ZÀ-Þ][A-Za-zÀ-ÿ'-]+\^[A-ZÀ-Þ][A-Za-zÀ-ÿ'-]+", "^"),
    "a tag of DICOM": (
        r"\b(?:Patient'?s? ?(?:Name|ID|Birth ?Date)(?:\s+(?:PN|LO|DA))?|\(?0010, ?00[123]0\)?)"
        r"[\"']?\s*[:=]\s*[\"']?[\w^][\w^ .-]+",
        "patientname patientid patientbirthdate name id birthdate date 0010",
    ),
    DATE: (
        r"\b(?i:born|birth|dob|studydate|seriesdate|acquisitiondate)\W{1,9}(?:on\W)?"
        r"(?:(?:19|20)\d\d-?[01]\d-?[0-3]\d|[0-3]?\d[./][01]?\d[./](?:19|20)?\d\d)\b",
        "born birth dob studydate seriesdate acquisitiondate",
    ),
    PATH: (
        r"(?<![\w/:.<*?+~-])(?:file:/{2,3})?/(?:home|Users|root|mnt|media|srv|tmp|scratch|nfs|export|Volumes|private)"
        r"/[^\s/\"'<>]+|(?<!\w)[A-Za-z]:\\\\?[\w.-]+\\|\bfile:///?\w+",
        "/home/ /Users/ /root/ /mnt/ /media/ /srv/ /tmp/ /scratch/ /nfs/ /export/ /Volumes/ /private/ file:/ :\\",
    ),
}
_FORMS = {kind: (re.compile(form), set(needed.split())) for kind, (form, needed) in FORMS.items()}
#: User and machine names that say nothing about anybody.
NOBODY = frozenset(
    "root user users admin runner build builder docker ubuntu debian jovyan localhost localdomain host server".split()  # noqa: SIM905
)
_DATED = re.compile(r"((?:19|20)\d\d)-?([01]\d)-?([0-3]\d)(?:[T ].*)?|([0-3]?\d)[./-]([01]?\d)[./-]((?:19|20)\d\d)")
_NAMING = re.compile(
    r"name|\bid\b|ident|\bmrn\b|birth|\bdob\b|address|street|phone|mail|insur|accession|remark|comment", re.IGNORECASE
)
_TAGS = (
    "PatientName", "PatientID", "OtherPatientIDs", "PatientBirthDate", "AccessionNumber", "StudyDate",
    "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "ReferringPhysicianName", "OperatorsName",
)  # fmt: skip
#: How year, month and day are written.
_DAYS = ("{0}-{1}-{2}", "{0}{1}{2}", "{2}.{1}.{0}", "{1}/{2}/{0}", "{2}/{1}/{0}")
_NOTES = ("descrip", "aux_file", "db_name", "intent_name")
_PICTURES, _FONTS = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".tif", ".tiff"), (".woff", ".woff2", ".ttf", ".eot")
_DATA = (".nii", ".nii.gz", ".dcm", ".nrrd", ".mha", ".parquet", ".pkl", ".npz", ".npy", ".h5")
_SUBJECTS = frozenset({"patient", "subject", "case"})  #: heads of columns of subjects
_CELL = re.compile(r"<t[hd]\b.*?</t[hd]>", re.DOTALL)
#: Comments (where letters are drawn, what they say), texts, and attributes that hold words.
_OF_SVG = re.compile(
    r"<!--.*?-->|<!\[CDATA\[.*?\]\]>|>[^<>]*[^\s<>][^<>]*<"
    r"|[\s:](?:id|class|title|alt|label|href|aria-[a-z]+|data-[a-z]+)=(?:\"[^\"]*\"|'[^']*')",
    re.DOTALL,
)
_WORD, _DATA_URI = re.compile(r"[^\W_]+"), re.compile(r"data:([\w/+.-]+);base64,([A-Za-z0-9+/=]+)")


class GateError(RadsupportError):
    """A site holds what must not leave the house."""


@dataclass(frozen=True)
class Needle:
    """A value that is looked for, and what finds it."""

    value: str
    kind: str

    @property
    def pattern(self) -> re.Pattern[str]:
        """What finds the value as a whole word."""
        return naming([self.value])


def needles(study: Study, root: Path = Path()) -> list[Needle]:
    """Return what is looked for of a real study."""
    files = study_files(study, root)
    sheets = sheets_of(study, files, root)
    found = {(one, SUBJECT) for one in subjects_of(study, root, sheets)}
    said = set(map(str.casefold, _texts_of(study.model_dump())))
    for sheet in sheets:
        found |= set(_cells(sheet, said))
    cases = files[files["subject"] != ""]
    known = {"image", "images", "mask", "masks", "scan", "scans", "dicom", "data", *said}
    places = {path: re.split(r"[/\\]|(?:\.[a-z]\w{1,4})+$", path) for path in cases["path"]}
    found |= {(part, PLACE) for part in _of_one(cases, places, known)} | {(path, PLACE) for path in places if path}
    headers = {row["path"]: list(_header(Path(row["file"]), row["role"])) for row in cases.to_dict("records")}
    found |= {(part, HEADER) for part in _of_one(cases, headers, known)}
    ids = {value.casefold() for value, kind in found if kind == SUBJECT}
    others = [Needle(*one) for one in sorted(found) if one[0].casefold() not in ids and distinct(one[0])]
    return [*(Needle(value, SUBJECT) for value, kind in sorted(found) if kind == SUBJECT), *others]


def _texts_of(found: object) -> Iterator[str]:
    if isinstance(found, Mapping):
        for key, value in found.items():
            yield from (str(key), *_texts_of(value))
    elif isinstance(found, list | tuple | set):
        for value in found:
            yield from _texts_of(value)
    elif isinstance(found, str):
        yield found


def _of_one(cases: pd.DataFrame, parts: Mapping[str, list[str]], known: set[str]) -> set[str]:
    """Return the texts that files of a single subject hold, and that are no word of the study."""
    rows = [(subject, part) for subject, path in zip(cases["subject"], cases["path"], strict=True)
            for part in parts.get(path, []) if part.casefold() not in known]  # fmt: skip
    owners = pd.DataFrame(rows, columns=["subject", "part"]).groupby("part")["subject"].nunique()
    return set(owners.index[owners == 1]) - {""}


def _header(file: Path, role: str) -> Iterator[str]:
    """Yield the texts of a scan's header that may name somebody, whole and in pieces."""
    if role in CASE_ROLES and file.name.endswith((".nii", ".nii.gz")) and file.is_file():
        import nibabel  # with pydicom a second to load: only where a study has scans

        header: Any = nibabel.load(file).header
        found = [header[key].tobytes().decode("latin-1").strip("\0 ") for key in _NOTES]
    elif role in SUBJECT_ROLES and file.exists():
        import pydicom

        first = next((path for path in [file, *sorted(file.rglob("*"))] if path.is_file()), None)
        tags: Any = pydicom.dcmread(first, stop_before_pixels=True, force=True) if first else {}
        found = [str(tags[name].value) for name in _TAGS if name in tags]
    else:
        return
    for text in found:
        yield text
        yield from (part for part in re.split(r"[\s^=;,]+", text) if len(part) > 4 or part.isalpha())


def _cells(sheet: Sheet, said: set[str]) -> Iterator[tuple[str, str]]:
    """Yield dates of a sheet, and the cells of columns that name people and that the study file does not know."""
    for name in sheet.table.columns:
        cells = {cell.strip(): None for cell in map(str, sheet.table[name])}.keys() - {""}
        naming_header, number = _NAMING.search(name), re.compile(r"[-+]?\d*\.?\d+(e[-+]?\d+)?", re.IGNORECASE)
        texts = {cell for cell in cells if "." not in cell[:8] or not number.fullmatch(cell)}
        for day in filter(None, map(_day, texts)):
            yield from ((form.format(*day), DATE) for form in _DAYS)
        if name.casefold() in said or not (naming_header or sum(map(str.isnumeric, texts)) < len(cells) / 2):
            continue
        if naming_header or 2 < len(cells) == len(sheet.table):
            told = (cell for cell in texts if naming_header or re.search(r"[^\W\d_]{3}", cell))
            yield from ((cell, CELL) for cell in told if cell.casefold() not in said and not _day(cell))


def _day(cell: str) -> tuple[str, str, str] | None:
    found = _DATED.fullmatch(cell)
    if found is None:
        return None
    year, month, day = found.group(1, 2, 3) if found[1] else found.group(6, 5, 4)
    try:
        datetime(int(year), int(month), int(day))
    except ValueError:
        return None
    return year, month.zfill(2), day.zfill(2)


def of_the_machine(root: Path = Path()) -> list[Needle]:
    """Return the names of this machine and its user, and where the project and its environment lie."""
    host = socket.gethostname().casefold()
    names = {getpass.getuser(), Path.home().name, host, host.split(".")[0]}
    places = (root, Path(), Path(sys.prefix))
    folders = {str(place) for path in places for place in (path.absolute(), path.resolve())}
    found = [Needle(name, MACHINE) for name in sorted(names) if distinct(name) and name.casefold() not in NOBODY]
    return found + [Needle(path, PATH) for path in sorted(folders) if path.count("/") > 1]


def looked_for(root: Path = Path()) -> list[Needle]:
    """Return what is looked for: of every real study of ``studies/``, and of this machine."""
    studies = [load_study(name, folder=root / STUDIES) for name in study_ids(root / STUDIES)]
    real = [study for study in studies if not study.is_synthetic]
    # of a collection that was never brought here nobody can be on a page
    met = [one for one in real if manifest_path(one, root).is_file() or StudyPaths(one.id, root).results.is_dir()]
    return of_the_machine(root) + [one for study in met for one in needles(study, root)]


def search(
    site: Path, root: Path = Path(), wanted: Iterable[Needle] | None = None, *, remember: bool | None = None
) -> list[Problem]:
    """Return what a built site holds that must not leave the house, by file and kind.

    Parameters
    ----------
    site : Path
        Folder with ``index.html``.
    root : Path
        Project root.
    wanted : iterable of Needle, optional
        By default what `looked_for` returns.
    remember : bool, optional
        Whether contents that hold nothing are passed over next time; by default where `wanted` is not given.

    Raises
    ------
    GateError
        There is no such site.
    RadsupportError
        The manifest or a table of a real study can not be read, so that nobody knows what to look for.
    """
    if not (site / "index.html").is_file():
        raise GateError("Nothing was searched.", [Problem("no site here", "index.html", "run `make book`", str(site))])
    kept = root / _CLEAN if remember or (remember is None and wanted is None) else None
    wanted = list(looked_for(root) if wanted is None else wanted)
    searching = _searching(wanted)
    before = json.loads(kept.read_text(encoding="utf-8")) if kept and kept.is_file() else {}
    clean = set(before.get("clean", ())) if before.get("searching") == searching else set()
    own = {name: Hay(wanted, forms, clean) for name, forms in (("ours", _FORMS), ("theirs", {}))}
    files = sorted(path for path in site.rglob("*") if path.is_file())
    new = sum(own[_whose(path, site)].checksum(path.name, path.read_bytes()) not in clean for path in files)
    n_jobs = (os.cpu_count() or 1) if new > _MANY else 1
    parts = [files[i :: 2 * n_jobs] for i in range(2 * n_jobs)]  # large and small ones in each
    searched = map_cases(partial(_in_files, site=site, own=own), parts, n_jobs, progress=False)
    if kept and kept.parent.is_dir():
        found = {"searching": searching, "clean": sorted(clean.union(*(seen for _, seen in searched)))}
        write_changed(kept, json.dumps(found))
    return sorted(itertools.chain(*(problems for problems, _ in searched)), key=lambda problem: problem.file)


_MANY = 200  # files that are worth a second process
#: Checksums of contents that were searched and held nothing; no identifier stands there.
_CLEAN = Path("results", ".searched.json")


def _searching(wanted: Iterable[Needle]) -> str:
    """Return a checksum of all that is looked for, and of what looks."""
    code = [Path(str(module)).read_bytes() for module in (__file__, page_text.__file__)]
    facts = [sys.version, Image.__version__, sorted((one.kind, one.value) for one in wanted), *code]
    return hashlib.sha256(repr(facts).encode("utf-8")).hexdigest()


def _whose(path: Path, site: Path) -> str:
    inside = path.relative_to(site).parts
    return "theirs" if inside[0] == "_static" and inside[1] != "made" and not path.name.startswith("book.") else "ours"


def _in_files(files: Sequence[Path], site: Path, own: Mapping[str, Hay]) -> tuple[list[Problem], set[str]]:
    """Return what some files hold, and the checksums of what holds nothing."""
    places = ((path, own[_whose(path, site)]) for path in files)
    problems = [one for path, hay in places for one in hay.problems(str(path.relative_to(site)), path.read_bytes())]
    return problems, own["ours"].clean | own["theirs"].clean


class Hay:
    """What is looked for, by one of its words, so that a file of megabytes is read once."""

    def __init__(
        self,
        wanted: Sequence[Needle],
        forms: Mapping[str, tuple[re.Pattern[str], set[str]]],
        clean: Iterable[str] = (),
    ) -> None:
        self.forms, self.plain = forms, {one.value.casefold() for one in wanted if not distinct(one.value)}
        self.clean = set(clean)  # also across archives, which hold tables of pages
        self.named = naming(self.plain) if self.plain else None
        told = [(one, " ".join(one.value.casefold().split())) for one in wanted if distinct(one.value)]
        self.wanted: dict[str, list[tuple[frozenset[Any], str, Needle]]] = {}  # by the last word, mostly a number
        for one, value in told:
            needed = _WORD.findall(value) or [""]
            self.wanted.setdefault(needed[-1], []).append((frozenset(pairwise(needed)), value, one))
        self.any = naming(one.value for one, _ in told)

    def checksum(self, name: str, content: bytes) -> str:
        """Return what stands for a content with its ending among those that held nothing."""
        kind = f"{''.join(Path(name.lower()).suffixes[-2:])} {len(self.forms)} ".encode()
        return hashlib.sha256(kind + content).hexdigest()[:32]

    def problems(self, name: str, content: bytes) -> Iterator[Problem]:
        """Yield what a file holds, one problem per kind; its own name is searched as well."""
        found: dict[str, list[tuple[str, str]]] = {}
        texts, parts = [name], set[str]()

        def known(name: str, content: bytes) -> bool:
            parts.add(number := self.checksum(name, content))
            return number in self.clean

        try:
            texts += _readable(name, content, found, known)
        except (OSError, ValueError, zlib.error, zipfile.BadZipFile):
            texts, found["an unreadable file"] = [name], [("", "")]
        for kind, value, around in itertools.chain(*map(self._found, texts)):
            found.setdefault(kind, []).append((value, around))
        self.clean |= set() if found else parts
        for kind, places in found.items():
            value, around = places[0]
            others = len({found.casefold() for found, _ in places}) - 1
            what = f"{kind}, {value[:1]}… ({len(value)} characters){f' and {others} more' * bool(others)}"
            yield Problem(what, "", REMEDIES[kind], name, value=self.any.sub("▒▒▒", around))

    def _found(self, text: str) -> Iterator[tuple[str, str, str]]:
        folded = " ".join(text.casefold().split())
        ordered = _WORD.findall(folded)
        words, pairs = set(ordered), set(pairwise(ordered))
        for needed, value, one in (one for word in self.wanted.keys() & words for one in self.wanted[word]):
            if needed <= pairs and value in folded:
                hit = one.pattern.search(text)
                yield from [(one.kind, one.value, _around(text, hit))] if hit else []
        for kind in [
            kind
            for kind, (_, needed) in self.forms.items()
            if needed & words or any(sign in text for sign in needed if not sign.isalnum())
        ]:
            form = self.forms[kind][0]
            yield from ((kind, hit[0], _around(text, hit)) for hit in form.finditer(text))
        for hit in self.named.finditer(text) if self.named else ():
            yield SUBJECT, hit["short"], _around(text, hit)
        for cell in _subject_cells(text) if self.plain else ():
            if cell.casefold() in self.plain:
                yield SUBJECT, cell, "in a column of subjects"


def _around(text: str, hit: re.Match[str]) -> str:
    """Return the words around a finding, which is blotted out."""
    before, after = text[max(0, hit.start() - 40) : hit.start()], text[hit.end() : hit.end() + 20]
    return " ".join(f"{before}▒▒▒{after}".split())


def _subject_cells(text: str) -> Iterator[str]:
    """Yield the cells of columns of subjects: of tables in HTML, and of a text that is a CSV."""
    for table in re.findall(r"<table.*?</table>", text, re.DOTALL):
        rows = [[_plain(cell) for cell in _CELL.findall(row)] for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL)]
        yield from _of_subjects(rows)
    first = text[:2000].partition("\n")[0]
    if "," in first and _SUBJECTS & set(re.split(r"[,\s\"\ufeff]+", first.casefold())):
        yield from _of_subjects(list(csv.reader(text.splitlines())))


def _plain(cell: str) -> str:
    return re.sub("<[^>]+>", "", cell).strip()


def _of_subjects(rows: list[list[str]]) -> Iterator[str]:
    """Yield the cells below a header that says whose they are."""
    heads, *others = rows or [[]]
    places = [i for i, head in enumerate(heads) if head.strip("\ufeff ").casefold() in _SUBJECTS]
    yield from (row[i].strip() for row in others for i in places if i < len(row))


def _readable(
    name: str,
    content: bytes,
    found: dict[str, list[tuple[str, str]]],
    known: Callable[[str, bytes], bool] = lambda *_: False,
) -> Iterator[str]:
    """Yield every text of a file that is not `known`; what is no page's business goes to `found`."""
    kind = name.lower()
    if known(name, content):
        return
    if kind.endswith(_DATA) or content[128:132] == b"DICM":
        found.setdefault("a file of data", []).append((Path(name).name, ""))
    elif kind.endswith(_PICTURES):
        yield from _picture(content)
    elif content.startswith(b"PK\3\4"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            yield archive.comment.decode("latin-1")
            for part in archive.infolist():
                yield part.filename
                yield from _readable(part.filename, archive.read(part), found, known)
    elif content.startswith(b"\x1f\x8b"):
        yield from _readable(name.removesuffix(".gz"), gzip.decompress(content), found)
    elif kind.endswith(".inv"):
        yield zlib.decompress(content.split(b"\n", 4)[4]).decode("utf-8", "replace")
    elif kind.endswith(".pdf"):
        for packed in re.findall(rb"stream\r?\n(.*?)endstream", content, re.DOTALL):
            yield zlib.decompressobj().decompress(packed).decode("latin-1") if packed[:1] == b"x" else ""
        yield content.decode("latin-1")
    elif not kind.endswith(_FONTS):
        wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        yield from _written(name, content.decode("utf-16" if wide else "utf-8", "replace"), found)


def _written(name: str, text: str, found: dict[str, list[tuple[str, str]]]) -> Iterator[str]:
    """Yield a text as it is read: without codes of HTML, JSON and addresses, once with and once without its tags."""
    for kind, packed in _DATA_URI.findall(text):
        ending = {"text/csv": ".csv", "image/png": ".png", "image/jpeg": ".jpeg"}.get(kind, ".txt")
        yield from _readable(f"{name}{ending}", base64.b64decode(packed + "=" * (-len(packed) % 4)), found)
    text = _DATA_URI.sub("", text)
    if name.endswith(".svg"):  # mostly the coordinates of lines and letters
        text = "\n".join(_OF_SVG.findall(text))
    if "\\u" in text:
        text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), text)
    text = text.replace("\\/", "/")  # JSON may write it so
    text = unquote(html.unescape(text)) if re.search("[&%]", text) else text
    yield text
    if name.endswith((".html", ".xml", ".ipynb")):
        yield re.sub(r"<[^>]{1,2000}>", "", text)


def _picture(content: bytes) -> Iterator[str]:
    """Yield the texts that a picture carries beside its dots."""
    if content.startswith(b"\x89PNG") and not re.search(b"tEXt|iTXt|zTXt|eXIf", content):
        return  # and need not be decoded
    with Image.open(io.BytesIO(content)) as picture:
        notes = [*itertools.chain(*picture.info.items()), *picture.getexif().values()]
    yield from (
        note if isinstance(note, str) else note.decode("latin-1") for note in notes if isinstance(note, bytes | str)
    )
