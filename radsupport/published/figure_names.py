"""Words for the inputs of the checkers, for the table of rules; the names themselves are on the page of the format."""

from __future__ import annotations

from radsupport.published.verdicts import Form
from radsupport.report.wording import listed

WORDS = {
    "FN": "false negatives",
    "FP": "false positives",
    "TN": "true negatives",
    "TP": "true positives",
    "U": "U",
    "a": "first AUC with its interval",
    "acc": "accuracy",
    "addends": "the parts",
    "after": "values after the change",
    "auc": "AUC",
    "aucs": "three AUCs with their intervals",
    "b": "second AUC with its interval",
    "before": "values before the change",
    "between": "AUCs of the whole and of its parts",
    "c": "concordance index with its interval",
    "cases": "patients with the event",
    "ci": "confidence interval",
    "controls": "patients without the event",
    "counts": "counts",
    "denominators": "patients per column",
    "downsamplings": "number of halvings",
    "end": "end of follow-up",
    "est": "estimate",
    "estimate": "estimate",
    "estimates": "estimates with their intervals",
    "events": "events and patients per group",
    "exposed": "exposed patients",
    "filters": "number of filters",
    "first": "first passage",
    "groups": "mean and SD of each group",
    "high": "median of the group at high risk",
    "horizon": "length of follow-up",
    "input": "size of the input",
    "k": "patients with the event",
    "kernel": "size of the kernel",
    "labels": "counts under each label",
    "layers": "kernel, inputs and outputs of each layer",
    "levels": "counts in each level",
    "limit": "the limit",
    "listed": "the things listed",
    "low": "median of the group at low risk",
    "mean_sd": "mean and SD of each group",
    "median": "what is said of the median",
    "median_iqr": "medians with quartiles",
    "n": "number of patients",
    "n_neg": "patients without the event",
    "n_pos": "patients with the event",
    "net": "name of the network",
    "nir": "no-information rate",
    "odds": "two shares of patients",
    "overall": "median of all",
    "padding": "padding",
    "paired": "two estimates with their intervals",
    "pairs": "number of pairs of patients",
    "ppv": "positive predictive value",
    "printed": "all measures printed",
    "printed_stat": "test named in the table",
    "ratio": "the ratio",
    "risk_groups": "events and patients of both risk groups",
    "rows": "the rows",
    "second": "second passage",
    "sen": "sensitivity",
    "shares": "two shares of patients",
    "spc": "specificity",
    "split": "the split",
    "stages": "number kept at each stage",
    "stride": "stride",
    "subgroups": "counts of each subgroup",
    "sums": "totals with their parts",
    "totals": "totals of the groups",
    "unbounded": "estimate with an infinite limit",
    "unexposed": "unexposed patients",
    "units": "number of units",
    "values": "the values",
    "which": "the row that is said to be highest",
}
"""Words for each input that holds printed figures."""
OTHER_WORDS = {("survival", "first"): "first possible inclusion"}
"""Words for an input of one kind of claim, where they differ."""
SWITCHES = frozenset({"claimed", "granularity", "open_because", "original_counted", "relation", "scale", "statistic"})
"""Inputs that say how to compare, and hold no printed figure."""
ORDER = (
    "k",
    "TP",
    "FN",
    "TN",
    "FP",
    "sen",
    "spc",
    "auc",
    "n_pos",
    "n_neg",
    "estimate",
    "est",
    "mean_sd",
    "exposed",
    "unexposed",
)
"""Inputs that are named first, in this order."""


def figures_of(form: Form) -> str:
    """Return the printed figures that a form of a claim is recomputed from, in words, optional ones last."""
    needed, more = (_words(form.kind, names) for names in (form.required, form.optional))
    return listed(needed, len(needed)) + (f"; if given: {', '.join(more)}" if more else "")


def _words(kind: str, names: frozenset[str]) -> list[str]:
    ordered = sorted(names - SWITCHES, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    return [OTHER_WORDS.get((kind, name), WORDS[name]) for name in ordered]
