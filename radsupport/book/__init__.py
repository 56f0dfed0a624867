"""The book: what a notebook calls to open a chapter and to show something; no other room prints.

A notebook begins with ``chapter = book.begin("06_validation", globals())`` and shows each result with one call:
`show_table` words the columns, joins an estimate with its interval and says why a table is empty; `show_figure` lays
pictures out side by side. `conclusions` holds the sentences that depend on data, a module per chapter
(``book.conclusions.validation``). `build` executes notebooks, `site` makes the pages of the book from them.
"""

from radsupport.book import conclusions
from radsupport.book.chapter import begin, begin_without_study
from radsupport.book.design import extraction
from radsupport.book.printed import printed_baseline
from radsupport.book.show import show_figure, show_html, show_table, show_text
from radsupport.book.tables import regression_table
from radsupport.book.widgets import folded_sheets, slider_html

__all__ = [
    "begin",
    "begin_without_study",
    "conclusions",
    "extraction",
    "folded_sheets",
    "printed_baseline",
    "regression_table",
    "show_figure",
    "show_html",
    "show_table",
    "show_text",
    "slider_html",
]
