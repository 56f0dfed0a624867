"""Sphinx reads and writes the pages on all cores: Jupyter Book has no option for it. Papers are items of their list."""

import os
from typing import Any

#: They keep nothing while pages are read, but do not say so.
SILENT = ("sphinx_multitoc_numbering", "sphinx_jupyterbook_latex")


def setup(app: Any) -> dict[str, bool]:
    """Take as many processes as there are cores."""
    app.parallel = os.cpu_count() or 1
    app.connect("builder-inited", _speak_for_others)
    app.connect("html-page-context", _items_of_lists)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _speak_for_others(app: Any) -> None:
    for name in set(SILENT) & set(app.extensions):
        app.extensions[name].parallel_read_safe = True


def _items_of_lists(_app: Any, _page: str, _template: str, context: dict[str, Any], _tree: Any) -> None:
    """Give papers the role of list items: the one that docutils gives them is withdrawn and no item of a list."""
    if "body" in context:
        context["body"] = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')
