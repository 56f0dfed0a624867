"""A small book that the site can be compiled from."""

from __future__ import annotations

import shutil
from pathlib import Path


def site_folder(root: Path, folder: Path) -> Path:
    """Write the settings, style and three short pages of a book into `folder`/book, beside the package; return it."""
    book = folder / "book"
    for name in ("pyproject.toml", "radsupport"):
        (folder / name).symlink_to(root / name)
    for name in ("_static", "_templates", "_ext"):
        shutil.copytree(root / "book" / name, book / name)
    for name in ("_config.yml", "references.bib"):
        shutil.copy(root / "book" / name, book)
    for name, label in {"methods": "methods", "glossary": "glossary", "bring_your_own": "own-data"}.items():
        (book / f"{name}.md").write_text(f"({label})=\n# {name}\n", encoding="utf-8")
    return book
