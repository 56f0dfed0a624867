"""What chapter 07 concludes from its tables. Cohorts stand in the tables by their names; empty words show nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from radsupport.book.conclusions.comparison import below_chance, over_divisions, with_words
from radsupport.evaluate.predictions import FEWEST, HIGH, LOW
from radsupport.evaluate.regression import COVARIATES, GLOBAL, SIGNATURE, CoxData
from radsupport.settings.parts import Label
from radsupport.stats.cox import CoxFit
from radsupport.stats.regression import Selection
from radsupport.wording import counted, estimate, fixed, listed, p_number, p_value, reached

RULES = {
    "youden": "Youden's index", "median": "median", "half": "one half", "max_logrank": "maximally selected log-rank"
}  # fmt: skip


def time_cell(value: float, low: float, high: float, at_risk: float = np.nan, missing: str = "") -> str:
    """Word a time with its interval (`reached`): never reached, or not estimable, may be the value or its end."""
    if not np.isfinite(value):
        words = missing or reached(value, at_risk)
        return f"{words} (from {fixed(low, 1)})" if np.isfinite(low) else words
    if low < 0:
        return estimate(value, low, high, 1)
    return f"{fixed(value, 1)} " + (f"({fixed(low, 1)}–{reached(high)})" if np.isfinite(low) else "(no interval)")


def rule_cell(low: float, high: float, p: float, p_search: float) -> str:
    """Word what a cut-off does in a cohort: patients at low and at high risk, and the log-rank P of these groups."""
    searched = search_allowed(p_search)
    tested = "not tested" if np.isnan(p) else p_value(p, name="P")
    return f"{low:.0f} / {high:.0f}, {tested}" + (f" ({searched})" if searched else "")


def worded(table: pd.DataFrame, rule: str, training: str) -> pd.DataFrame:
    """Return the cut-offs of `evaluate.survival.cut_offs` with their words: in_words (the rule), cell, searched.

    What `cut_offs` says of the rule that is used is in ``attrs["said"]``.
    """
    numbers = table[["low", "high", "p", "p_search"]].to_numpy(dtype=float)
    cells, searched = [rule_cell(*row) for row in numbers], table["p_search"].map(search_allowed)
    shown = table.assign(in_words=table["rule"].replace(RULES), cell=cells, searched=searched)
    shown.attrs["said"] = cut_offs(table, rule, training)
    return shown


def search_allowed(p: float) -> str:
    """Word the log-rank P of a maximally selected cut-off that allows for the search; empty without one."""
    return "" if np.isnan(p) else f"{p_number(p)} with the search allowed for"


def cut_offs(table: pd.DataFrame, rule: str, training: str) -> str:
    """Say which cut-offs are used, what the P of a searched one is worth, and where it leaves one group only.

    Parameters
    ----------
    table : DataFrame
        What `evaluate.survival.cut_offs` returns.
    rule : str
        Its name in the table.
    training : str
        Name of the training cohort.
    """
    used = table[table["used"]]
    first = used.drop_duplicates("signature")
    values = [f"**{row['signature']}** {fixed(row['cut_off'], 3)}" for row in first.to_dict("records")]
    text = f"From here on the cut-off is that of this page's rule, {RULES.get(rule, rule)}: {', '.join(values)}."
    lost = table[(table["rule"] == rule) & table["cut_off"].isna()]["signature"]
    if len(lost):
        text += f" The rule finds no cut-off for {', '.join(lost)}; there the median stands in."
    return "\n\n".join(filter(None, [text, _searched(first, used, training), _one_group(used)]))


def _searched(first: pd.DataFrame, used: pd.DataFrame, training: str) -> str:
    looked = set(first["by_outcome"]) - {"no"}
    if not looked:
        return ""
    was, are = ("was", "are") if "yes" in looked else ("may have been", "may be")
    text = (
        f"In {training} the cut-off {was} chosen by the outcome, so the P-values of its groups {are} too small from "
        "here on"
    )
    paid = used.dropna(subset=["p_search"])
    words = [f"**{row['signature']}** {p_number(row['p_search'])}" for row in paid.to_dict("records")]
    return f"{text}. The log-rank P that allows for the search: {', '.join(words)}." if words else f"{text}."


def _one_group(used: pd.DataFrame) -> str:
    words = [
        f"the cut-off of {row['signature']} puts all {row['n']} patients of {row['cohort']} "
        f"at {'high' if row['high'] else 'low'} risk"
        for row in used[(used["low"] == 0) | (used["high"] == 0)].to_dict("records")
    ]
    if not words:
        return ""
    text = "; ".join(words)
    return f"**Only one group.** {text[0].upper()}{text[1:]}: there are no groups to compare there."


def curves(times: pd.DataFrame, sets: pd.DataFrame) -> str:
    """Say when each group of a signature is down to few patients, and what pooling cohorts does to the evidence.

    Parameters
    ----------
    times : DataFrame
        What `evaluate.survival.times` returns, of one signature.
    sets : DataFrame
        cohort (name of a set of cohorts), n, training (its patients on whom the cut-off was chosen).
    """
    ends = [
        f"{cohort}: " + ", ".join(f"{row['group']} {fixed(row['end'], 1)}" for row in own.to_dict("records"))
        for cohort, own in times.groupby("cohort", sort=False)
    ]
    text = (
        f"Of the groups of **{times['signature'].iloc[0]}**, fewer than {FEWEST} patients are at risk after these "
        "months: "
    )
    words = [
        f"{row['training']} of the {row['n']} patients of {row['cohort'].removesuffix(', pooled')} are those on whom "
        "the cut-off was chosen"
        for row in sets.to_dict("records")
        if row["training"]
    ]
    reused = f"\n\n**Pooling reuses the threshold's own patients:** {'; '.join(words)}."
    return f"{text}{'; '.join(ends)}." + (f"{reused} A pooled P is no test of the cut-off." if words else "")


def incidence(table: pd.DataFrame, event: str, competing: str) -> str:
    """Say by how much 1 − Kaplan–Meier overstates the incidence beside a competing event; empty without one.

    Parameters
    ----------
    table : DataFrame
        What `evaluate.incidence` returns at the horizons.
    event, competing : str
        What the two events are called.
    """
    known = table.dropna(subset=["incidence"]) if len(table) else table
    if known.empty:
        return ""
    last = known[known["time"] == known["time"].max()]
    worst, least = last.loc[last["overstated"].idxmax()], last["overstated"].min()
    if worst["overstated"] < 0.0005:
        month = f"{worst['time']:g} months"
        return f"By {month} 1 − KM and the cumulative incidence of {event} agree to 0.1 percentage points."
    low, high = (f"{100 * value:.1f}" for value in (least, worst["overstated"]))
    by = f"{high} percentage points" if low == high else f"{low} to {high} percentage points"
    cell = [f"{100 * worst[key]:.0f}%" for key in ("one_minus_km", "incidence", "incidence_low", "incidence_high")]
    own = f"{worst['group']} of {worst['cohort']}"
    return (
        f"At {worst['time']:g} months 1 − KM overstates the incidence of {event} by {by}, by group, "
        f"most in {own}, where {competing} ended the follow-up of {worst['competing_events']:.0f} of {worst['n']:.0f} "
        f"patients: {cell[0]} by 1 − KM, {cell[1]} (95% CI {cell[2]} to {cell[3]}) by the cumulative incidence."
    )


def hazard_ratios(ratios: pd.DataFrame) -> str:
    """Say which hazard ratios needed Firth's penalty or could not be estimated; empty where none."""
    odd = ratios[ratios["note"] != ""].to_dict("records")
    words = [f"{row['signature']} in {row['cohort']}, {row['contrast']}: {row['note']}" for row in odd]
    return f"Hazard ratios that needed more than a plain fit, or have none – {'; '.join(words)}." if words else ""


def model(
    data: CoxData, fit: CoxFit | None, note: str, alone: pd.DataFrame, labels: Mapping[str, str], added: str
) -> str:
    """Say what the multivariable model rests on, what was done to fit it, and that a signature is used backwards.

    Parameters
    ----------
    data : CoxData
    fit : CoxFit or None
    note : str
        What was done to fit it, or why it can not be fitted.
    alone : DataFrame
        What `evaluate.regression.univariable` returns.
    labels : mapping
        Words for the covariates.
    added : str
        The signature that is to be added.
    """
    notes = [
        f"{labels[row['column']]}: none of the {row['n']} patients with {row['level']} had the event, so "
        f"{row['merged']} is one level"
        for row in data.merges.to_dict("records")
    ]
    notes += [f"{labels[column]} is left out: it does not vary here" for column in data.constant]
    text = "".join(f"{words}. " for words in notes) + _size(data, fit, note, added, merged=bool(notes))
    return "\n\n".join(filter(None, [text, _backwards(alone, added)]))


def _size(data: CoxData, fit: CoxFit | None, note: str, added: str, *, merged: bool) -> str:
    if fit is None:
        return f"The covariates together can not be fitted: {note}."
    n = len(fit.coef)
    few = "; with fewer than about 10 the ratios are unstable" * bool(fit.n_events < 10 * n)
    text = f"The model of all covariates has {counted(n, 'coefficient')} for {fit.n_events} events in {fit.n} patients "
    text += f"({fixed(fit.n_events / n, 1)} events per coefficient{few})"
    text += f", {fit.n_missing} left out for missing values. " if fit.n_missing else ". "
    text += f"{added} is not part of it: whether it adds to the characteristics is tested below. "
    if note:
        return f"{text}It needed {note}: a plain fit would give infinite ratios."
    if merged or not data.reference:
        return text
    return f"{text}Every level has events, so no levels are merged and no penalty is needed."


def _backwards(alone: pd.DataFrame, added: str) -> str:
    row = alone[alone["term"] == SIGNATURE].iloc[0]
    if not row["hr"] < 1:
        return ""
    ratio = f"hazard ratio {estimate(row['hr'], row['ci_low'], row['ci_high'])} per SD"
    turned = "The Cox models of this page turn it round: what they seem to gain from it is no merit of the signature."
    if not row["ci_high"] < 1:
        return f"Which way {added} points can not be told among these patients ({ratio})."
    return (
        f"**Used backwards.** A higher risk by {added} goes with fewer events among these patients ({ratio}), against "
        f"what it was built to predict. {turned}"
    )


def selection(kept: Selection | None, labels: Mapping[str, str], added: str, gain: pd.DataFrame | None = None) -> str:
    """Say what backward selection kept, what a signature is tested against, and whether it adds (`added_value`).

    Parameters
    ----------
    kept : Selection or None
        What `evaluate.regression.selected` returns.
    labels : mapping
        Words for the covariates.
    added : str
        The signature that is to be added.
    gain : DataFrame, optional
        What `evaluate.regression.added_value` returns.
    """
    found = "" if gain is None else added_value(gain, added)
    return "\n\n".join(filter(None, [_kept(kept, labels, added), found]))


def _kept(kept: Selection | None, labels: Mapping[str, str], added: str) -> str:
    against = f"so {added} is tested against the model without any predictor."
    if kept is None:
        text = "Backward selection by AIC needs plain fits of all models on its way; there are none here."
        return f"{text}\n\nThere is no model of the characteristics, {against}"
    text = f"Backward selection keeps {listed([labels[term] for term in kept.terms])}."
    if len(kept.path) == 1 and len(kept.terms) == 1:
        return f"There is one characteristic, {labels[kept.terms[0]]}: AIC is lower with it than without, so it stays."
    if not kept.terms:
        return f"{text}\n\nNo characteristic is kept, {against}"
    return f"{text} P-values and intervals of a selected model ignore the selection and are too good."


def added_value(gain: pd.DataFrame, added: str, called: str = "") -> str:
    """Say whether a signature adds to the characteristics kept, by the likelihood-ratio test; empty without a test.

    Parameters
    ----------
    gain : DataFrame
        What `evaluate.regression.added_value` returns.
    added : str
        The signature; `called` what it is called in the sentence.
    """
    tested = gain.dropna(subset=["p_lr"]) if len(gain) else gain
    if tested.empty:
        return ""
    row = tested.iloc[-1]
    told = row["p_lr"] < 0.05
    kept = "the characteristics kept (chosen on the same patients)"
    kept = "a model without any predictor" if row["model"] == added else kept
    backwards = ", but pointing against what it was built to predict" * bool(told and row["hr"] < 1)
    return (
        f"In training, {called or added} {'adds' if told else 'is not shown to add'} to {kept}{backwards}: "
        f"likelihood-ratio χ² {fixed(row['chi2'])} on {row['df']:.0f} df, {p_value(row['p_lr'], name='P')} "
        f"({counted(row['events'], 'event')} in {counted(row['n'], 'patient')}); hazard ratio per SD "
        f"{estimate(row['hr'], row['hr_low'], row['hr_high'])}."
    )


def wrong_groups(patients: pd.DataFrame, label: Label | None, unseen: str) -> str:
    """Count the patients whom the groups get wrong, among those whose outcome is known; name the others.

    Parameters
    ----------
    patients : DataFrame
        cohort (in words), group, label, time (months); of one signature.
    label : Label or None
        The outcome that colours the patients; None where it is whether the event was seen.
    unseen : str
        What patients without the event are called.
    """
    if label is None:
        return (
            f'"{unseen[0].upper()}{unseen[1:]}" may only mean that a patient was followed briefly. A bar of the other '
            "colour is therefore no mistake of the groups by itself, and the two colours have no test here; the "
            "log-rank test above allows for the length of follow-up."
        )
    had = patients["label"].astype(float) == 1
    followed = patients["time"] >= (0.0 if label.known == "at_once" else label.horizon_months or np.inf)
    free, words = ~had & followed, []
    for cohort, own in patients.assign(had=had, free=free).groupby("cohort", sort=False):
        missed, alarm = own[own["had"]]["group"] == LOW, own[own["free"]]["group"] == HIGH
        parts = [f"{missed.sum()} of {len(missed)} “{label.positive}” called low risk"] * bool(len(missed))
        parts += [f"{alarm.sum()} of {len(alarm)} “{label.negative}” called high risk"] * bool(len(alarm))
        words += [f"{cohort}: {' and '.join(parts)}"] * bool(parts)
    short, text = (~had & ~free).sum(), f"Whom the groups get wrong – {'; '.join(words)}."
    if not short:
        return text
    until = f" before {label.horizon_months:g} months" if label.horizon_months else ""
    return (
        f"{text} {short} of the {(~had).sum()} patients labelled “{label.negative}” are not counted: their follow-up "
        f"ended{until}, so that the event may have come later, and a bar of their colour need not be a mistake."
    )


def hazards(test: pd.DataFrame, labels: Mapping[str, str]) -> str:
    """Say which covariates speak against proportional hazards.

    Parameters
    ----------
    test : DataFrame
        What `evaluate.regression.hazards_test` returns.
    labels : mapping
        Words for the covariates.
    """
    if test.empty:
        return (
            "There is no model without penalty, or there are too few event times, for a test of proportional hazards."
        )
    own = test[test["covariate"] != GLOBAL]
    against = own[own["p"] < 0.05].to_dict("records")
    together = float(test.loc[test["covariate"] == GLOBAL, "p"].iloc[0])
    whole = p_value(together, name="global P")
    more = _beyond_single(test) if together < 0.05 else ""
    if not against and together < 0.05:
        alone = "No single covariate has P below 0.05, but all together do"
        return f"{alone} ({whole}): read ratios as averages.{more}"
    if not against:
        return f"No covariate has P below 0.05 ({whole}). That is no proof: few events can hide a trend."
    names = listed([f"{labels[row['covariate']]} ({p_value(row['p'], name='P')})" for row in against])
    if len(against) == 1:
        return f"The effect of {names} seems to change over time ({whole}): its hazard ratio is an average.{more}"
    return f"The effects of {names} seem to change over time ({whole}): their hazard ratios are averages.{more}"


def _beyond_single(test: pd.DataFrame) -> str:
    """Say that the global statistic is well above the sum of the single ones, as it can be of related covariates."""
    alone, own = test[test["covariate"] == GLOBAL].iloc[0], test[test["covariate"] != GLOBAL]
    if not alone["chi2"] > 1.25 * own["chi2"].sum():
        return ""
    return (
        f" The global χ² ({fixed(alone['chi2'], 1)} on {alone['df']:.0f} df) is more than the single ones add up to "
        f"({fixed(own['chi2'].sum(), 1)}): the covariates are related, and what changes over time is a contrast "
        "between them that no single test sees."
    )


def parametric(families: pd.DataFrame, judged: pd.DataFrame, apparent: float = float("nan")) -> str:
    """Say which parametric model fits best by AIC, how what it predicts differs from the Cox model, and for whom.

    Parameters
    ----------
    families : DataFrame
        What `evaluate.parametric.families` returns.
    judged : DataFrame
        What `evaluate.parametric.beside_cox` returns, training first.
    apparent : float
        C-index of the Cox model in the patients to whom it was fitted.
    """
    fitted = families.dropna(subset=["aic"]).sort_values("aic", kind="stable")
    if families.empty:
        return ""
    if fitted.empty:
        return "None of the parametric models can be fitted to these patients; the table says why."
    best = fitted.iloc[0]
    text = f"By AIC the {best['model']} model fits best ({best['aic']:.1f})"
    if len(fitted) > 1:
        gap = fitted["aic"].iloc[1] - best["aic"]
        text += f", {gap:.1f} below the {fitted['model'].iloc[1]} model"
        text += "; a difference below 2 hardly tells them apart" if gap < 2 else ""
    last = judged.drop_duplicates(["cohort", "signature"], keep="last")
    worse = below_chance(last, {name: name for name in last["cohort"].astype(str)}, "c_index")
    words = [f"{text}.", *_against_cox(judged, best["model"]), *_for_whom(judged, apparent), worse]
    return "\n\n".join(filter(None, words))


def _against_cox(judged: pd.DataFrame, best: str) -> list[str]:
    """Say for each cohort, at the last horizon it is judged at, what two models predict and what was observed."""
    words = []
    for cohort, own in judged.groupby("cohort", sort=False) if len(judged) else []:
        last = own[own["horizon"] == own["horizon"].max()].set_index("signature")
        if not {best, COVARIATES} <= set(last.index):
            continue
        one, cox = last.loc[best], last.loc[COVARIATES]
        words.append(
            f"{cohort}, {one['horizon']:g} months: {one['predicted']:.0%} against {cox['predicted']:.0%} by the Cox "
            f"model, {one['observed']:.0%} observed (Kaplan–Meier); single patients differ by up to "
            f"{100 * one['most_apart']:.0f} percentage points"
        )
    return [f"Its mean predicted probability of the event – {'; '.join(words)}."] if words else []


def _for_whom(judged: pd.DataFrame, apparent: float) -> list[str]:
    """Say where a model without a fit costs patients, and why a C-index out of fold may be the higher one."""
    cox = judged[judged["signature"] == COVARIATES] if len(judged) else judged
    fewer = cox[cox["n"] < cox["of"]].drop_duplicates(["cohort", "n", "of"]).to_dict("records") if len(cox) else []
    words = [f"{row['n']} of {row['of']} in {row['cohort']}" for row in fewer]
    lost = (
        f"The table is of the patients whom all these models predict: {listed(words)} of those whom the Cox model "
        "predicts. Where a model can not be fitted without a fold, its patients count for none of them."
    )
    where = cox["cohort"].iloc[0] if len(cox) else ""
    out = cox.loc[cox["cohort"] == where, "c_index"].max() if len(cox) else float("nan")
    above = (
        f"Out of fold the C-index of the Cox model in {where} reaches {fixed(out)}, above the apparent one of "
        f"{fixed(apparent)}: that is chance{' and other patients' * bool(words)}, for no model ranks patients better "
        "because it has not seen them."
    )
    return [lost] * bool(words) + [above] * bool(out > apparent)


def horizons(areas: pd.DataFrame, missing: pd.DataFrame) -> str:
    """Say where an AUC's interval lies below 0.5, and which horizons too few patients reach; empty where none.

    Parameters
    ----------
    areas : DataFrame
        signature, cohort, time (months), auc_high.
    missing : DataFrame
        cohort, time (months).
    """
    below = areas[areas["auc_high"] < 0.5].to_dict("records") if len(areas) else []
    rows = [f"{row['signature']} in {row['cohort']} at {row['time']:g} months" for row in below]
    text = (
        f"**Below 0.5.** The interval lies below 0.5 for {listed(rows)}: there a higher risk went with later events, "
        f"or with none. {counted(len(areas), 'interval')} were looked at, so that a few may miss 0.5 by chance."
    )
    lost = [
        f"{' and '.join(f'{time:g}' for time in own['time'])} months in {cohort}"
        for cohort, own in (missing.groupby("cohort", sort=False) if len(missing) else [])
    ]
    need = f"fewer than {FEWEST} patients had the event by then, or are followed beyond"
    return "\n\n".join([text] * bool(rows) + [f"Not shown: {'; '.join(lost)} ({need})."] * bool(lost))


def common_patients(table: pd.DataFrame) -> str:
    """Say in which cohorts the curves of the error rest on fewer patients than the tables; empty where in none.

    Parameters
    ----------
    table : DataFrame
        cohort, n (patients whom all models predict), most (patients of the model that predicts most).
    """
    fewer = table[table["n"] < table["most"]].to_dict("records") if len(table) else []
    words = [f"{row['n']} of {row['most']} in {row['cohort']}" for row in fewer]
    if not words:
        return ""
    return (
        f"The curves are of the patients whom all models can predict ({listed(words)}), against the Kaplan–Meier curve "
        "of the same patients. In the tables each model is judged, against that curve, in all whom it can predict."
    )


def reading(
    c_index: pd.DataFrame,
    *,
    searched: bool,
    event: str = "",
    gain: pd.DataFrame | None = None,
    added: str = "",
    parts: Sequence[str] = (),
    modelling: Mapping[str, Any] | None = None,
    trained: bool = True,
) -> tuple[str, str]:
    """Say what the page shows of the main signature and what `added` adds: in short, and in full cohort by cohort.

    Parameters
    ----------
    c_index : DataFrame
        signature, cohort (training first), n, events, c_index with limits, p_groups (log-rank), note (why the groups
        have no test); of one signature.
    searched : bool
        Whether the cut-off was chosen by the outcome.
    event : str
        What is followed; a study may predict another outcome.
    gain : DataFrame, optional
        What `evaluate.regression.added_value` returns, of the signature `added`, which is made of `parts`.
    modelling : mapping, optional
        Numbers that chapter 05 published, where it judged this outcome: the training value is the mean over divisions.
    trained : bool
        Whether training patients are here; of a locked model none are, and nothing is fixed in any cohort of the page.
    """
    rows, of = c_index.to_dict("records"), f" ({event})" * bool(event)
    if not rows:
        return "", ""
    found: dict[str, list[str]] = {}
    for row in rows:
        where, words = _interval(row)
        if row is rows[0] and (before := over_divisions(modelling or {}, row["signature"])[0]):
            words = words.replace(", ", f", {before}", 1)
        found.setdefault(where, []).append(words)
    told = "; ".join(f"{where} in {listed(places, 12)}" for where, places in found.items())
    first, *others = [str(row["cohort"]) for row in rows]
    tests = [f"{'none' if np.isnan(p := row['p_groups']) else p_number(p)} in {row['cohort']}" for row in rows]
    fixed_there = f" ({'too small: ' * searched}the cut-off was {'searched' if searched else 'fixed'} there)"
    tests[0] += fixed_there * trained
    tested = f"- The cut-off was chosen in {first}; {listed(others)} {'are' if len(others) > 1 else 'is'} the test."
    nobody = "**Nobody outside the training cohort is followed**: how the signature does elsewhere is not on this page."
    made = f"{added} (made of {listed(parts)}; not {rows[0]['signature']}, which divides the groups)" if parts else ""
    adds = "" if gain is None else added_value(gain, added, made)
    lines = [f"C-index of {rows[0]['signature']}{of}, whose 95% interval {told}."]
    others = others if trained else [first]
    lines += [f"Log-rank P of its risk groups: {listed(tests, 12)}.", "" if others else nobody, adds]
    full = [_in_full(row, of, searched and row is rows[0]) for row in rows]
    tested = tested if trained else "- The cut-off came with the model, and every cohort is a test of it."
    full += [tested if others else f"- {nobody}", *[f"- {adds}"] * bool(adds)]
    return "\n".join(filter(None, lines)), "\n".join(full)


def _c_index(row: Mapping[Any, Any]) -> tuple[str, float, float, str]:
    """Return which C-index a cohort is judged by, its limits, and its words with the interval."""
    key = "within" if row.get("within", np.nan) >= 0 else "c_index"
    low, high = row[f"{key}_low"], row[f"{key}_high"]
    decimals = 3 if "0.50" in (fixed(low), fixed(high)) else 2  # a limit of 0.504 beside "does not cover 0.5"
    return key, low, high, estimate(row[key], low, high, decimals) if row[key] >= 0 else "does not exist"


def _interval(row: Mapping[Any, Any]) -> tuple[str, str]:
    """Return where the interval of a cohort's C-index lies, and the cohort with its value."""
    key, low, high, value = _c_index(row)
    where = "**lies below 0.5**" if high < 0.5 else "leaves out 0.5" if low > 0.5 else "covers 0.5"
    size = f"{row['events']} events in {counted(row['n'], 'patient')}{', within centers' * (key == 'within')}"
    return "can not be given" if np.isnan(low) else where, f"{row['cohort']}, {with_words(value, size)}"


def _in_full(row: Mapping[Any, Any], of: str, searched: bool) -> str:
    """Return the line of one cohort: its C-index, and whether its groups differ."""
    key, low, high, value = _c_index(row)
    more = f" within centers, {fixed(row['c_index'])} pooled" if key == "within" else ""
    more = more or (f", which {'covers' if low <= 0.5 <= high else 'does not cover'} 0.5" if low >= 0 else "")
    more += " without an interval" * bool(row[key] >= 0 and np.isnan(low))
    groups = p_value(row["p_groups"], name="log-rank P of the groups")
    groups += " (too small: the cut-off was searched here)" * searched
    groups = f"the groups are not compared ({row['note']})" if np.isnan(row["p_groups"]) else groups
    size = f"{row['events']} events in {counted(row['n'], 'patient')}"
    return f"- {row['cohort']}, {row['signature']}: {size}{of}; C-index {value}{more}; {groups}."
