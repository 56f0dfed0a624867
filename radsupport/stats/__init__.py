"""Statistics equal to R: arrays and tables in, small results or tidy tables out. Knows no study and prints nothing.

Ask this room for a number with its interval: the AUC with DeLong's (`auc`, `delong_test`), a C-index (`concordance`), a
Kaplan-Meier curve (`kaplan_meier`) and the test of several (`log_rank`), a Cox or logistic regression (`cox`,
`logistic`) of a formula, agreement of two readers (`icc`, `kappa`), a table of characteristics
(`baseline_table`); what is needed more rarely lies in its modules. Every function is tested against R's value, and
refuses with a reason what can not be estimated.
"""

from radsupport.stats.agreement import icc, kappa
from radsupport.stats.brier import brier_score
from radsupport.stats.concordance import concordance
from radsupport.stats.cox import fit_cox
from radsupport.stats.cox import fit_cox as cox
from radsupport.stats.formulas import formula_columns, formula_words
from radsupport.stats.logistic import fit_logistic
from radsupport.stats.logistic import fit_logistic as logistic
from radsupport.stats.logrank import log_rank
from radsupport.stats.roc import auc, delong_test, roc_curve
from radsupport.stats.shift import shifts
from radsupport.stats.survival_curves import kaplan_meier
from radsupport.stats.table_one import baseline_table

__all__ = [
    "auc",
    "baseline_table",
    "brier_score",
    "concordance",
    "cox",
    "delong_test",
    "fit_cox",
    "fit_logistic",
    "formula_columns",
    "formula_words",
    "icc",
    "kaplan_meier",
    "kappa",
    "log_rank",
    "logistic",
    "roc_curve",
    "shifts",
]
