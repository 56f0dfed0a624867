"""What the pages of the site share, each once and in a file of its own: pictures, tables as CSV, scripts, styles.

An executed notebook carries all of it inside, so that it can be mailed and opened anywhere. On the site the same page
would be several times as heavy, and repeat plotly.js (2 MB) and the scripts of tables in every output.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import io
import re
from pathlib import Path
from typing import Any

import nbformat
from PIL import Image, features

from radsupport.book.show import plotly_library
from radsupport.book.tables import asset
from radsupport.files import written_whole
from radsupport.nomogram.calculator import SCRIPT, STYLE

#: Below ``_static``, made anew by each build; pages of chapters lie two folders deep.
FOLDER, FROM_PAGE = "made", "../../_static/made"
#: Where pictures of earlier builds wait, which take longer to pack than all else; Sphinx copies no hidden folder.
_KEPT = ".kept"
#: How a PNG is packed: method and quality are effort here; more takes longer and gains nothing.
_WEBP: dict[str, Any] = {"lossless": True, "exact": True, "method": 2, "quality": 50}
_STYLES = ("table.css", "filter.css", "slider.css", "live.css")
_SCRIPTS = ("sort.js", "filter.js", "slider.js", "plotly.js", "live.js")
_INSIDE = re.compile(r'(<img\b[^>]*?\ssrc|<a\b[^>]*?\shref)="data:(image/png|image/jpeg|text/csv);base64,([^"]+)"')
_EMPTY = re.compile(r"<(style|script)>\s*</\1>")
_LIBRARY = re.compile(r'<script type="text/plain" data-plotly-library>[^<]*</script>')
_LIVE = re.compile(r'<script type="application/json" data-live>([^<]+)</script>')


def begin(static: Path) -> Path:
    """Empty the folder of shared files and write the styles and scripts; return it.

    Packed pictures are put aside: one that is asked for again, by its content and how it is packed, comes back.
    """
    folder = static / FOLDER
    kept = folder / _KEPT
    kept.mkdir(parents=True, exist_ok=True)
    for old in [path for path in folder.rglob("*") if path.is_file() and path.parent != kept]:
        if old.suffix == ".webp":
            old.replace(kept / old.name)
        else:
            old.unlink()
    styles = [*map(asset, _STYLES), STYLE]
    (folder / "page.css").write_text("\n".join(styles), encoding="utf-8")
    scripts = "\n".join([*map(asset, _SCRIPTS), SCRIPT])
    when = f'document.addEventListener("DOMContentLoaded", () => {{\n{scripts}\n}});\n'
    (folder / "page.js").write_text(when, encoding="utf-8")
    return folder


def share(notebook: Any, folder: Path) -> Any:
    """Move what a notebook's outputs carry into files of `folder`; the page looks the same.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        Staged two folders below the book; its outputs are changed in place.
    folder : Path
        What `begin` returned. Equal pictures are one file.

    Returns
    -------
    nbformat.NotebookNode
    """
    for cell in notebook.cells:
        for data in (output.get("data", {}) for output in cell.get("outputs", [])):
            if "text/html" in data:
                html = data["text/html"]
                data["text/html"] = _shared("".join(html) if isinstance(html, list) else html, folder)
    return notebook


def _shared(html: str, folder: Path) -> str:
    for text in (*map(asset, (*_STYLES, *_SCRIPTS)), STYLE, SCRIPT):
        html = html.replace(text, "")
    html = _EMPTY.sub("", html)
    html = _LIVE.sub(lambda found: _as_script(found[1], folder), html)
    if (
        _LIBRARY.search(html) or "data-explore" in html
    ):  # every page loads every *.js below _static; this one is asked for
        (folder / "plotly.mjs").write_text(f'window.plotlyPacked="{plotly_library()}";', encoding="utf-8")
        html = _LIBRARY.sub(
            f'<script type="text/plain" data-plotly-library data-src="{FROM_PAGE}/plotly.mjs"></script>', html
        )
    return _INSIDE.sub(lambda found: _as_file(found[1], found[2], found[3], folder), html)


def _as_script(numbers: str, folder: Path) -> str:
    """Write numbers to a file that a page asks for when they are wanted; a script, as no page of a folder can read."""
    name = hashlib.sha256(numbers.encode("utf-8")).hexdigest()[:20]
    text = f'(window.radLive=window.radLive||{{}})["{name}"]={numbers};'
    (folder / f"{name}.mjs").write_text(text, encoding="utf-8")
    return f'<script type="application/json" data-live data-src="{FROM_PAGE}/{name}.mjs"></script>'


def _as_file(start: str, kind: str, packed: str, folder: Path) -> str:
    """Write what an address carries to a file, and return the element's begin with the file's address.

    A PNG becomes a WebP of the same dots, which is a third lighter.
    """
    content, size, how = base64.b64decode(packed), "", ""
    if kind == "image/png":
        how = f"{_WEBP} {features.version('pil')} {features.version('webp')}"
    number = hashlib.sha256(content + how.encode("utf-8")).hexdigest()[:20]
    path = folder / f"{number}.{kind.split('/')[1].replace('png', 'webp')}"
    if kind != "text/csv":
        picture = Image.open(io.BytesIO(content))
        size = f' width="{picture.width}" height="{picture.height}" loading="lazy"'
    if not path.is_file() and not (how and _came_back(path)):
        with written_whole(path) as partial:
            if how:
                picture.convert("RGBA" if picture.has_transparency_data else "RGB").save(partial, **_WEBP)
            else:
                partial.write_bytes(content)
    return f'{start}="{FROM_PAGE}/{path.name}"{size}'


def _came_back(path: Path) -> bool:
    """Take a picture back that an earlier build packed; tell whether there is one that can be read."""
    try:
        with Image.open((path.parent / _KEPT / path.name).replace(path)) as picture:
            picture.verify()
    except (OSError, SyntaxError):
        return False
    return True


def with_thumbnails(page: str, static: Path) -> str:
    """Return a page beside ``_static`` with its shared pictures as thumbnails, which are written beside them."""

    def small(found: re.Match[str]) -> str:
        path = static / FOLDER / found[1]
        picture = Image.open(path).convert("RGB")
        picture.thumbnail(_THUMBNAIL)
        picture.save(path.with_name(f"{path.stem}_small.webp"), quality=80)
        return f'src="_static/{FOLDER}/{path.stem}_small.webp"'

    return re.sub(rf'src="_static/{FOLDER}/([^"]+)"', small, page)


_THUMBNAIL = (480, 480)  # dots, for 240 of the page


def keep_code(notebook: Any, path: Path) -> None:
    """Write a notebook without outputs, to take along and run again."""
    bare = copy.deepcopy(notebook)
    bare.metadata.pop("papermill", None)
    for cell in bare.cells:
        cell.metadata.pop("papermill", None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(bare, path)
