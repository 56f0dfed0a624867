"""Sphinx reads and writes the pages on all cores: Jupyter Book has no option for it. Papers are items of their list.

Pages that did not change are kept between builds; what they show of others is compared (`_of_all_pages`).
"""

import os
from collections.abc import Iterable
from typing import Any

#: They keep nothing while pages are read, but do not say so.
SILENT = ("sphinx_multitoc_numbering", "sphinx_jupyterbook_latex")


def setup(app: Any) -> dict[str, bool]:
    """Take as many processes as there are cores."""
    app.parallel = os.cpu_count() or 1
    app.connect("builder-inited", _speak_for_others)
    app.connect("env-updated", _written_again)
    app.connect("html-collect-pages", _forget_words)
    app.connect("html-page-context", _items_of_lists)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _speak_for_others(app: Any) -> None:
    for name in set(SILENT) & set(app.extensions):
        app.extensions[name].parallel_read_safe = True


def _items_of_lists(_app: Any, _page: str, _template: str, context: dict[str, Any], _tree: Any) -> None:
    """Give papers the role of list items: the one that docutils gives them is withdrawn and no item of a list."""
    if "body" in context:
        context["body"] = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')


def _written_again(_app: Any, env: Any) -> Iterable[str]:
    """Return the pages to write again although they did not change: all, where a page changed what others show of it.

    Else those with terms, whose entries Sphinx forgets when it adds to an index of the search.
    """
    before, env.of_all_pages = getattr(env, "of_all_pages", None), _of_all_pages(env)
    return env.all_docs if before != env.of_all_pages else {page for page, _ in env.domains["std"].objects.values()}


def _forget_words(app: Any) -> Iterable[Any]:
    """Take words that no page has any more out of the index of the search, and add no page."""
    for index in (app.builder.indexer._mapping, app.builder.indexer._title_mapping):
        for word in [word for word, pages in index.items() if not pages]:
            del index[word]
    return []


def _of_all_pages(env: Any) -> list[object]:
    """Return what is shown of a page elsewhere: titles, places that can be linked to, order, papers quoted."""
    std, titles = env.domains["std"], {page: title.astext() for page, title in env.titles.items()}
    papers = env.domains["cite"].citation_refs
    cited = sorted((one.docname, one.citation_ref_id, *(target.key for target in one.targets)) for one in papers)
    places = [sorted(found.items()) for found in (titles, std.labels, std.anonlabels, std.objects)]
    return [places, sorted(env.toctree_includes.items()), cited]
