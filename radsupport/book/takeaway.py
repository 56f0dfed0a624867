"""What a reader takes along: a study as one archive, and on each page a folded list of its figures.

Figures as SVG would be heavier than the site: they lie in the study's archive, from which ``_static/take.js`` takes a
single one when its link is followed; without script, or opened from a folder, the link gives the archive.
"""

from __future__ import annotations

import re
import zipfile
from html import escape, unescape
from pathlib import Path
from typing import Any

from nbformat.v4 import new_markdown_cell

from radsupport.book import report
from radsupport.book.shared import FROM_PAGE
from radsupport.files import written_whole
from radsupport.settings.study import Study
from radsupport.study import STUDIES
from radsupport.wording import counted

#: What lies in an archive: files, by their names there.
Contents = dict[str, Path]
_FIGURE = re.compile(r'<figure data-saved="([^"]+)".*?</figure>', re.DOTALL)
_CAPTION = re.compile(r"<figcaption>(.*?)</figcaption>", re.DOTALL)
_TABLE = re.compile(r'<a download="([^"]+)" aria-label="CSV of: [^"]*" href="[^"]*/([^"/]+\.csv)"')
_LONG = 110
_NOT_PUBLIC = "the study file does not call public"
_FIXED = (2000, 1, 1, 0, 0, 0)  # the time of every file in an archive, so that the same study gives the same bytes


def offer(page: Any, study: str, chapter: str, figures: Path, shared: Path, people: bool = True) -> Contents:
    """Add the list of its figures to the end of a staged page; return what the page gives to the study's archive.

    Parameters
    ----------
    page : nbformat.NotebookNode
        As `shared.share` returned it.
    study, chapter : str
    figures : Path
        Where the chapter's figures were saved, with their tables.
    shared : Path
        Where the tables of pages lie.
    people : bool
        Whether tables with a row per patient are among them; where not, the page says why.
    """
    shown = [output.get("data", {}) for cell in page.cells for output in cell.get("outputs", [])]
    found: Contents = {}
    lines: dict[str, str] = {}
    for html in ("".join(data.get("text/html", "")) for data in shown):
        for figure in _FIGURE.finditer(html):
            names = figure[1].split()
            own = {f"figures/{path.name}": path for path in _files(figures, names)}
            found |= own
            if own:
                links = ", ".join(_link(study, name, i) for i, name in enumerate(own, 1))
                lines[names[0]] = f"<li>{_words(figure[0])}: {links}</li>"
        for name, file in _TABLE.findall(html):
            if shared / file not in found.values():
                number = sum(one.startswith("tables/") for one in found) + 1
                found[f"tables/{chapter}_{number:02d}_{name}"] = shared / file
    if lines:
        listed = "".join(lines.values())
        said = f"Take along: {counted(len(lines), 'figure')} of this page (SVG), with the tables behind them (CSV)"
        said += "" if people else f"; not those with a row per patient, which {_NOT_PUBLIC}"
        whole = f'<p><a href="{FROM_PAGE}/{study}.zip" download>All of {escape(study)}</a> in one archive</p>'
        html = f'<details class="rs-take"><summary>{said}</summary><ul>{listed}</ul>{whole}</details>'
        page.cells.append(new_markdown_cell(html, id="take-along"))  # the same page has the same bytes
    return found


def _files(folder: Path, names: list[str]) -> list[Path]:
    """Return the files of one figure that are there: its pictures, and the table behind them."""
    paths = [folder / f"{name}{ending}" for ending in (".svg", ".csv") for name in names]
    return [path for path in paths if path.is_file()]


def _words(figure: str) -> str:
    """Return the beginning of a figure's caption as HTML."""
    caption = _CAPTION.search(figure)
    words = " ".join(unescape(re.sub("<[^>]+>", "", caption[1])).split()) if caption else "Figure"
    return escape(words.rstrip(".") if len(words) <= _LONG else f"{words[:_LONG].rpartition(' ')[0]} …")


def _link(study: str, name: str, number: int) -> str:
    """Return a link that takes one file out of the archive of a study; the pictures of a figure are numbered."""
    kind = name.rpartition(".")[2].upper()
    label = escape(f"{kind} of {Path(name).stem.replace('_', ' ')}", quote=True)
    place = f'href="{FROM_PAGE}/{study}.zip" data-take="{escape(name, quote=True)}" download'
    return f'<a {place} aria-label="{label}">{kind}{f" {number}" * (kind == "SVG")}</a>'


def pack(study: str, found: Contents, files: Path, loaded: Study | None) -> Path:
    """Write the archive of a study to ``<files>/<study>.zip``: figures, tables, notebooks, settings, numbers, texts.

    Parameters
    ----------
    study : str
    found : mapping
        What `offer` returned for its pages.
    files : Path
        Where the site's shared files lie, with the notebooks without outputs in ``<files>/<study>``.
    loaded : Study, optional
        Its settings; without them there are no texts.

    Returns
    -------
    Path
        The texts alone lie beside the notebooks.
    """
    inside: Contents = {f"notebooks/{path.name}": path for path in sorted((files / study).glob("*.ipynb"))}
    inside |= {f"results/{path.name}": path for path in sorted(Path("results", study).glob("[0-9][0-9]_*.json"))}
    if loaded is not None:
        settings = Path(STUDIES, f"{study}.yaml")
        inside |= {settings.name: settings} if settings.is_file() else {}
        for name, content in report.texts(loaded, Path("results", study)).items():
            inside[name] = files / study / name
            (files / study / name).write_bytes(content)
    target = files / f"{study}.zip"
    with written_whole(target) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in sorted({**inside, **found}.items()):
            packed = zipfile.ZipInfo(name, _FIXED)
            packed.compress_type, packed.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(packed, path.read_bytes())
    return target


def links(study: str, files: Path) -> list[str]:
    """Return the lines of a study's first page that say what can be taken along."""
    archive = files / f"{study}.zip"
    if not archive.is_file():
        return []
    names = [name for name in ("methods.docx", "results.docx") if (files / study / name).is_file()]
    texts = " and ".join(f'<a href="{FROM_PAGE}/{study}/{name}" download>{name[:-5]}</a>' for name in names)
    said = f" Written out for Word: {texts}." * bool(names)
    place = f'<a href="{FROM_PAGE}/{study}.zip" download>one archive</a>'
    size = f"{archive.stat().st_size / 1e6:.1f}"
    what = "figures (SVG) with the tables behind them (CSV), tables, notebooks, settings, numbers, texts"
    return ["## Take it along\n", f'<p class="rs-take">All of this study as {place} ({size} MB): {what}.{said}</p>\n']
