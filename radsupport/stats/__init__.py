"""Statistics equal to R: arrays and tables in, small results or tidy tables out. Knows no study and prints nothing.

Ask this room for a number with its interval: the AUC with DeLong's (`auc`, `delong_test`), a C-index (`concordance`), a
Kaplan-Meier curve (`kaplan_meier`) and the test of several (`log_rank`), a Cox or logistic regression (`fit_cox`,
`fit_logistic`), agreement of two readers (`icc`, `kappa`, `bland_altman`), a table of characteristics
(`baseline_table`). Every function is tested against R's value, and refuses with a reason what can not be estimated.
"""

from radsupport.stats.agreement import bland_altman, icc, kappa
from radsupport.stats.brier import brier_score
from radsupport.stats.calibration import calibration_summary
from radsupport.stats.concordance import concordance
from radsupport.stats.correlation import correlation_table
from radsupport.stats.cox import fit_cox
from radsupport.stats.logistic import fit_logistic
from radsupport.stats.logrank import log_rank
from radsupport.stats.regression import backward_aic
from radsupport.stats.roc import auc, confusion, delong_test, roc_curve, youden
from radsupport.stats.survival_curves import kaplan_meier, median_follow_up
from radsupport.stats.table_one import baseline_table
from radsupport.stats.time_roc import time_dependent_roc

__all__ = [
    "auc",
    "backward_aic",
    "baseline_table",
    "bland_altman",
    "brier_score",
    "calibration_summary",
    "concordance",
    "confusion",
    "correlation_table",
    "delong_test",
    "fit_cox",
    "fit_logistic",
    "icc",
    "kaplan_meier",
    "kappa",
    "log_rank",
    "median_follow_up",
    "roc_curve",
    "time_dependent_roc",
    "youden",
]
