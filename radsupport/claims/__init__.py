"""What the four papers printed, recomputed; and the same checks for any table of printed values.

`checked_claims` judges the claims of the four papers, or those of a table of one's own, each by the checker of its form
(`rules` lists them): a printed value holds, does not hold, or can not be decided from what is printed. `verdicts`
counts them and `findings` says what they mean for a reader; `compare_studies` and `sample_sizes` set the four designs
side by side.
"""

from radsupport.claims import auc, counts, estimates, p_values, text  # noqa: F401  (each registers its checkers)
from radsupport.claims.designs import compare_studies, sample_sizes
from radsupport.claims.report import (
    checked_claims,
    example,
    findings,
    rules,
    shown_rows,
    significance_changes,
    unchecked,
    verdicts,
    write,
)

__all__ = [
    "checked_claims",
    "compare_studies",
    "example",
    "findings",
    "rules",
    "sample_sizes",
    "shown_rows",
    "significance_changes",
    "unchecked",
    "verdicts",
    "write",
]
