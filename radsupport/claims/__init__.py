"""What the four papers printed, recomputed; and the same checks for any table of printed values.

`check_claims` judges a table of claims, each by the checker of its form (`rules` lists them): a printed value holds,
does not hold, or can not be decided from what is printed. `checked_claims` are those of the four papers, `findings`
what they mean for a reader; `compare_studies` and `sample_size_table` set the four designs side by side.
"""

from radsupport.claims import auc, counts, estimates, p_values, text  # noqa: F401  (each registers its checkers)
from radsupport.claims.claims import check_claims
from radsupport.claims.designs import compare_studies, sample_size_table, sample_sizes, sources, study_labels
from radsupport.claims.report import (
    checked_claims,
    example,
    findings,
    not_checkable,
    numbers,
    rows_not_counted,
    rules,
    shown_rows,
    significance_changes,
    verdicts_per_kind,
    verdicts_per_paper,
    write,
)

__all__ = [
    "check_claims",
    "checked_claims",
    "compare_studies",
    "example",
    "findings",
    "not_checkable",
    "numbers",
    "rows_not_counted",
    "rules",
    "sample_size_table",
    "sample_sizes",
    "shown_rows",
    "significance_changes",
    "sources",
    "study_labels",
    "verdicts_per_kind",
    "verdicts_per_paper",
    "write",
]
