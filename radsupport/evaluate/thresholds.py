"""One threshold per signature, fixed on training rows: classes and risk groups on either side of it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from radsupport.checks import FloatArray
from radsupport.errors import InputError, NotEstimableError
from radsupport.evaluate.predictions import HIGH, LABEL, LOW, measure
from radsupport.stats.logrank import maximally_selected_cutoff
from radsupport.stats.roc import confusion, confusions, youden


def youden_cut(part: pd.DataFrame) -> float:
    """Return the cut-off with the largest sensitivity + specificity - 1, of ties the most sensitive.

    Raises
    ------
    InputError
        A training patient has no label.
    NotEstimableError
        One class only.
    """
    if part["label"].isna().any():
        raise InputError(
            "Youden's index needs a label for every training patient. "
            "Choose `median` or `max_logrank` for a study without one."
        )
    return float(youden(part["label"], part["risk"]).threshold)


def median_cut(part: pd.DataFrame) -> float:
    """Return the median of the risks."""
    return float(part["risk"].median())


Rule = str | float | Callable[[pd.DataFrame], float] | Mapping[str, float]
#: The rules that can be named: each takes the training rows of a signature and returns the cut-off of its risk.
CUTS: dict[str, Callable[[pd.DataFrame], float]] = {
    "youden": youden_cut,
    "median": median_cut,
    "half": lambda _: 0.5,
    "max_logrank": lambda part: float(maximally_selected_cutoff(part["time"], part["event"], part["risk"]).cut_off),
}


def threshold(rows: pd.DataFrame, rule: Rule = "youden", outcome: Sequence[str] = LABEL) -> pd.Series:
    """Return one threshold per signature, fixed on the training rows; positive, or high, is a risk above it.

    Parameters
    ----------
    rows : DataFrame
        Such as `judged` returns them; those of other cohorts change nothing.
    rule : str, float, callable or mapping
        "youden", "median", "half", "max_logrank", a number, or a function of a signature's training rows; or the
        thresholds that came with a locked model, by signature.
    outcome : sequence of str
        Without a label there is no Youden's index, and the median takes its place.

    Returns
    -------
    Series by signature
        Signatures without training rows have none. Where a rule finds nothing the median stands in, and
        ``attrs["note"]`` says why, by signature; ``attrs["rule"]`` is the rule that was used (`rule_name`), and
        ``attrs["by_outcome"]`` says whether it looked at the outcome: "no", "yes", or of a function "perhaps".

    Raises
    ------
    InputError
        An unknown name, Youden's index of patients without a label, or a function that does not return one number.
    """
    if isinstance(rule, str) and rule == "youden" and tuple(outcome) != LABEL:
        rule = "median"
    found, notes = {}, {}
    known = rows["cohort"] == "train"
    if isinstance(rule, Mapping):
        found = {name: float(rule[name]) for name in map(str, rows["signature"].unique()) if name in rule}
        known &= False
    elif not known.any() and (rule == "half" or isinstance(rule, int | float)):
        known |= True  # a number needs no training patients
    for name, part in rows[known].groupby("signature", observed=True):
        try:
            found[str(name)] = float(_rule(rule)(part))
        except NotEstimableError as error:
            found[str(name)], notes[str(name)] = median_cut(part), error.message
    cut = pd.Series(found, name="threshold", dtype=float)
    looks = "perhaps" if callable(rule) else "yes" if rule in ("youden", "max_logrank") else "no"
    cut.attrs |= {"note": notes, "rule": rule_name(rule), "by_outcome": looks}
    return cut


def rule_name(rule: Rule) -> str:
    """Return the name of a rule; a number and a function in words."""
    if isinstance(rule, str):
        return rule
    if isinstance(rule, Mapping):
        return "as the model's file says"
    name = getattr(rule, "__name__", type(rule).__name__)
    return f"the function {name}".replace("<lambda>", "in the cell") if callable(rule) else f"the number {rule:g}"


def _rule(rule: Rule) -> Callable[[pd.DataFrame], float]:
    if callable(rule):
        return lambda part: _one_number(rule, part)
    if isinstance(rule, str) and rule in CUTS:
        return CUTS[rule]
    if isinstance(rule, str):
        near = "".join(f" Did you mean `{name}`?" for name in difflib.get_close_matches(rule, CUTS, n=1))
        known = f"There are: {', '.join(CUTS)}; a number (without quotation marks); a function of the training rows."
        raise InputError(f"There is no rule `{rule}` for a threshold. {known}{near}")
    if isinstance(rule, bool) or not isinstance(rule, int | float | np.number) or not math.isfinite(rule):
        raise InputError(f"A threshold is a finite number, the name of a rule or a function, not {rule!r}.")
    number = float(rule)
    return lambda _: number


def _one_number(rule: Callable[[pd.DataFrame], Any], part: pd.DataFrame) -> float:
    """Return what a function says of the training rows of a signature, if it is one finite number."""
    place = f"for the signature {part['signature'].iloc[0]}, {rule_name(rule)}"
    wanted = 'Expected: one finite number, such as `lambda rows: rows["risk"].quantile(0.75)`.'
    try:
        found = rule(part)
    except KeyError as error:
        columns = ", ".join(map(str, part.columns))
        raise InputError(f"The threshold: {place} asks for {error}. The rows have: {columns}.") from error
    if not np.isscalar(found) and np.ndim(found):
        kind = f"a {type(found).__name__} of {np.size(found)} values"
        raise InputError(f"The threshold: {place} returns {kind}. {wanted}")
    try:
        number = float(found)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(found, bool | np.bool_ | str) or not math.isfinite(number):
        raise InputError(f"The threshold: {place} returns {found!r}. {wanted}")
    return number


def at_threshold(rows: pd.DataFrame, cut: pd.Series) -> pd.DataFrame:
    """Return the rows with the threshold of their signature; those of a signature without one are left out."""
    limit = rows["signature"].astype(str).map(cut)
    return rows[limit.notna()].assign(threshold=limit[limit.notna()])


def groups(rows: pd.DataFrame, cut: pd.Series) -> pd.DataFrame:
    """Return the rows with threshold and group: `HIGH` above the signature's threshold, `LOW` up to it.

    Parameters
    ----------
    rows : DataFrame
        Such as `judged` returns them.
    cut : Series by signature
        What `threshold` returns.

    Returns
    -------
    DataFrame
        Rows of a signature without a threshold are left out.
    """
    known = at_threshold(rows, cut)
    group = pd.Categorical(np.where(known["risk"] > known["threshold"], HIGH, LOW), [LOW, HIGH])
    return known.assign(group=group)


def classification(
    rows: pd.DataFrame,
    cut: pd.Series,
    outcome: Sequence[str] = LABEL,
    others: int = 0,
    models: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Return counts and rates of each signature in each cohort at its threshold.

    Parameters
    ----------
    rows : DataFrame
        Such as `judged` returns them.
    cut : Series by signature
        What `threshold` returns.
    outcome : sequence of str
        Of a time to event there is no right and wrong: the table is empty and says so.
    others : int
        Also at so many other thresholds at most, the same in every cohort: those between the risks of all its patients,
        evenly thinned by rank where there are more; rows in order of the threshold.
    models : mapping of signature to model, optional
        With `others`: what `lock` returns, which says what probability a threshold stands for.

    Returns
    -------
    DataFrame
        cohort, signature, n, events, threshold, tn, fp, fn, tp, accuracy, sensitivity, specificity, ppv, npv (each with
        exact limits, _low and _high), no_information_rate, p_vs_nir (one-sided exact binomial). A rate without
        patients is missing. With `others`, in place of the last two: probability of the threshold, and net_benefit at
        it (tp/n minus fp/n times its odds).
    """
    counts, rates = list(COUNTS), [f"{rate}{end}" for rate in RATES for end in ("", "_low", "_high")]
    columns = ["cohort", "signature", "n", "events", "threshold", *counts, *rates, "no_information_rate", "p_vs_nir"]
    judged = rows if tuple(outcome) == LABEL else rows.iloc[:0]
    known = at_threshold(judged, cut)
    if others:
        columns = [*columns[:-2], "probability", "net_benefit"]
        grid = {name: _between(own, others) for name, own in known.groupby("signature", observed=True)}
        table = measure(known, lambda part: _swept(part, grid[part["signature"].iloc[0]], models or {}))
        table = table.reindex(columns=columns)
    else:
        table = measure(known, _classified).reindex(columns=columns)
    reason = "Not used: no signature has a threshold."
    if tuple(outcome) != LABEL:
        reason = "Not used: risks over time are cut into groups in the survival chapter."
    table.attrs["empty"] = reason if table.empty else ""
    return table


def _classified(part: pd.DataFrame) -> dict[str, Any]:
    found = vars(confusion(part["label"], (part["risk"] > part["threshold"]).astype(int)))
    return {"events": int(part["label"].sum()), "threshold": part["threshold"].iloc[0]} | found


def _between(own: pd.DataFrame, most: int) -> FloatArray:
    """Return thresholds between the risks of a signature's patients, `most` at most, and the locked one."""
    risks = np.unique(own["risk"])
    middle = risks[:-1] / 2 + risks[1:] / 2
    if middle.size > most:
        middle = middle[np.linspace(0, middle.size - 1, most).round().astype(int)]
    return np.union1d(middle, own["threshold"].iloc[:1])


def _swept(part: pd.DataFrame, marks: FloatArray, models: Mapping[str, Any]) -> pd.DataFrame:
    """Return what one cohort's patients are called at each of the thresholds."""
    table = confusions(part["label"], part["risk"], marks).assign(events=int(part["label"].sum()))
    model, chance, known = models.get(part["signature"].iloc[0]), np.full(marks.size, np.nan), np.isfinite(marks)
    if model is not None and known.any():
        chance[known] = model.whole.probability(marks[known])
    inside = np.where((chance >= 0) & (chance < 1), chance, np.nan)
    benefit = (table["tp"] - table["fp"] * inside / (1 - inside)) / len(part)
    return table.assign(probability=chance, net_benefit=benefit)


RATES = ("accuracy", "sensitivity", "specificity", "ppv", "npv")
COUNTS = ("tn", "fp", "fn", "tp")
