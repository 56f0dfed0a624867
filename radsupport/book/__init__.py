"""The book: what a notebook calls to open a chapter and to show something; no other room prints.

A notebook begins with ``chapter = book.begin("06_validation", globals())`` and shows each result with one call:
`show_table` words the columns, joins an estimate with its interval and says why a table is empty; `show_figure` lays
pictures out side by side. `conclusions` holds the sentences that depend on data, a module per chapter
(``book.conclusions.validation``). `build` executes notebooks, `site` makes the pages of the book from them.
"""

from radsupport.book import conclusions
from radsupport.book.chapter import begin, refuse_unknown_parameters
from radsupport.book.printed import cautions_words, printed_baseline, printed_beside, printed_words
from radsupport.book.show import save_figures_to, show_figure, show_html, show_plotly, show_table, show_text
from radsupport.book.tables import regression_table
from radsupport.book.widgets import folded_sheets, slider_html

__all__ = [
    "begin",
    "cautions_words",
    "conclusions",
    "folded_sheets",
    "printed_baseline",
    "printed_beside",
    "printed_words",
    "refuse_unknown_parameters",
    "regression_table",
    "save_figures_to",
    "show_figure",
    "show_html",
    "show_plotly",
    "show_table",
    "show_text",
    "slider_html",
]
