"""TODO."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from radsupport.book.chapter import Chapter
from radsupport.book.tables import regression_table
from radsupport.errors import InputError
from radsupport.evaluate.calibration import in_common
from radsupport.evaluate.predictions import HIGH, LOW, label_of, main_signature, of_signature, outcome, parts, slug
from radsupport.evaluate.probability import Judged
from radsupport.evaluate.regression import SIGNATURE, CoxData, Reduced, labels, multivariable_rows
from radsupport.evaluate.survival import FEW, GLOBAL, group_curves, outcome_classes, with_interval
from radsupport.evaluate.thresholds import RULES, by_rule, group_p, in_groups, search_allowed
from radsupport.plots.tidy import schoenfeld_table
from radsupport.settings.study import Study
from radsupport.stats.cox import CoxFit
from radsupport.stats.proportional_hazards import schoenfeld_residuals
from radsupport.wording import counted, estimate, fixed, listed, p_number


def reduced_words(found: Reduced | None, data: CoxData, study: Study) -> str:
    """Say what backward selection kept."""
    if found is None:
        return "Backward selection by AIC needs plain fits of all models on its way; there are none here."
    names = labels(data, study)
    kept = listed([names[term] for term in found.fit.design.names])
    text = f"Backward selection keeps {kept}."
    return (
        text
        if not found.fit.design.names
        else f"{text} P-values and intervals of a selected model ignore the selection and are too good."
    )


def added_words(data: CoxData, base: CoxFit | None) -> str:
    """Say what the signature is tested against where no characteristic is kept; empty where one is."""
    if base is not None and base.design.names:
        return ""
    reason = "There is no model of the characteristics" if base is None else "No characteristic is kept"
    return f"{reason}, so {data.added} is tested against the model without any predictor."


def table_shown(data: CoxData, alone: pd.DataFrame, fit: CoxFit | None, study: Study) -> pd.DataFrame:
    """Return univariable and multivariable hazard ratios side by side, in words."""
    return regression_table(alone, multivariable_rows(data, fit), labels(data, study))


def model_words(data: CoxData, fit: CoxFit | None, note: str) -> str:
    """Say how many patients, events and coefficients the multivariable model has, and what was done to fit it."""
    text = f"{'. '.join(data.notes)}. " if data.notes else ""
    if fit is None:
        return f"{text}The covariates together can not be fitted: {note}."
    n = len(fit.coef)
    text += (
        f"The model of all covariates has {counted(n, 'coefficient')} for {fit.n_events} events in {fit.n} patients "
    )
    text += f"({fixed(fit.n_events / n, 1)} events per coefficient; with fewer than about 10 the ratios are unstable)"
    text += f", {fit.n_missing} left out for missing values. " if fit.n_missing else ". "
    text += f"{data.added} is not part of it: whether it adds to the characteristics is tested below. "
    if note:
        return f"{text}It needed {note}: a plain fit would give infinite ratios."
    return (
        text
        if data.notes or not data.reference
        else f"{text}Every level has events, so no levels are merged and no penalty is needed."
    )


def backwards_words(data: CoxData, alone: pd.DataFrame) -> str:
    """Say that a higher risk by the signature goes with fewer events in training; empty where it does not."""
    row = alone[alone["term"] == SIGNATURE].iloc[0]
    if not row["hr"] < 1:
        return ""
    return (
        f"**Used backwards.** A higher risk by {data.added} goes with fewer events among these patients (hazard ratio "
        f"{fixed(row['hr'])} per SD), against what it was built to predict. The Cox models of this page turn it round: "
        "what they seem to gain from it is no merit of the signature."
    )


def curve_panels(groups: pd.DataFrame, study: Study, signature: str) -> list[tuple[str, pd.DataFrame, dict[str, Any]]]:
    """Return title, curves and options of a panel per cohort and per pooled set, for `figures.panels`."""
    found = []
    for _, name, part in parts(of_signature(groups, signature), study):
        p = group_p(part)
        found.append((f"{name} (n = {len(part)})", group_curves(part), _options(study, p)))
    return found


def _options(study: Study, p: float) -> dict[str, Any]:
    """Return options of `figures.kaplan_meier`; the same group looks the same in every panel."""
    return {"outcome": outcome(study).name, "p": None if np.isnan(p) else p, "order": (LOW, HIGH)}


def rule_panels(
    rows: pd.DataFrame, table: pd.DataFrame, study: Study, signature: str
) -> tuple[str, list[tuple[str, pd.DataFrame, dict[str, Any]]]]:
    """Return a cohort's name and its curves under the median and under the searched cut-off, side by side.

    The cohort is the one that the rules know least of: external, else internal, else training.
    """
    own = of_signature(rows, signature)
    key = next(key for key in ("external", "internal", "train") if (own["cohort"] == key).any())
    found = []
    for rule in ("median", "max_logrank"):
        part = in_groups(own[own["cohort"] == key], by_rule(table, rule))
        if len(part):
            p = group_p(part)
            search = table[(table["signature"] == signature) & (table["rule"] == rule)]["p_search"].iloc[0]
            note = search_allowed(search) if key == "train" and np.isfinite(search) else ""
            options = _options(study, p) | {"note": note}
            found.append((f"{RULES[rule][0].upper()}{RULES[rule][1:]}", group_curves(part), options))
    return f"{study.cohort_names[key]} (n = {int((own['cohort'] == key).sum())})", found


def follow_up_shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return `steps_groups.follow_up_table` as a page shows it: the median and its interval in one cell."""
    medians = [with_interval(*row) for row in table[["median", "ci_low", "ci_high"]].to_numpy(dtype=float)]
    shown = table[["cohort", "n", "events"]].assign(**{"Median follow-up, months (95% CI)": medians})
    return shown.assign(**{"Longest (months)": [fixed(time, 1) for time in table["longest"]]})


def summary_shown(summary: pd.DataFrame) -> pd.DataFrame:
    """Return `group_summary` as a page shows it: medians and restricted means with their intervals in one cell."""
    shown = summary[["signature", "cohort", "group", "n", "events"]].copy()
    medians = summary[["median", "median_low", "median_high"]].to_numpy()
    shown["Median, months (95% CI)"] = [with_interval(*row) for row in medians]
    means = summary[["restricted_mean", "mean_low", "mean_high"]].to_numpy()
    shown["Restricted mean, months (95% CI)"] = [with_interval(*row) for row in means]
    return shown.assign(tau=summary["tau"].round(1)).rename(columns={"tau": "Up to month"})


def comparison_shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return `group_comparison` as a page shows it."""
    shown = table[["signature", "cohort", "n"]].copy()
    shown["P (log-rank)"] = table["p"]
    limits = table[["difference", "ci_low", "ci_high"]].to_numpy()
    shown["Restricted mean, low minus high risk, months (95% CI)"] = [
        "–" if np.isnan(value) else estimate(value, low, high, 1) for value, low, high in limits
    ]
    return shown.assign(p=table["p_difference"], tau=table["tau"].round(1)).rename(
        columns={"p": "P (difference)", "tau": "Up to month"}
    )


def end_words(groups: pd.DataFrame, study: Study) -> str:
    """Say when each group of a signature is down to few patients: what the end of a curve rests on."""
    words, name = [], groups["signature"].iloc[0]
    for _, cohort, part in parts(groups, study):
        last = part.groupby("group", observed=True)["time"].agg(lambda t: t.nlargest(min(FEW, len(t))).min())
        words.append(f"{cohort}: " + ", ".join(f"{group} {fixed(t, 0)}" for group, t in last.items()))
    return f"Of the groups of **{name}**, fewer than {FEW} patients are at risk after these months: {'; '.join(words)}."


def search_words(table: pd.DataFrame, study: Study) -> str:
    """Say what the training P's of a searched cut-off are worth; empty for a rule that does not look at the outcome.

    Parameters
    ----------
    table : DataFrame
        What `steps_groups.cut_offs` returns.
    study : Study
    """
    own = table[table["used"] & (table["rule"] != "median")]
    if own.empty:
        return ""
    cohort = study.cohort_names["train"]
    text = (
        f"In {cohort} the cut-off was chosen by the outcome, so the P-values of its groups are too small from here on."
    )
    paid = own.dropna(subset=["p_search"])
    if paid.empty:
        return text
    words = ", ".join(f"**{row['signature']}** {p_number(row['p_search'])}" for row in paid.to_dict("records"))
    return f"{text} The log-rank P that allows for the search: {words}."


HEADERS = {
    "time": "Month", "null": "Kaplan–Meier", "scaled": "Scaled", "brier_a": "Brier score", "brier_b": "of the baseline",
}  # fmt: skip


def common_words(models: Sequence[Judged], study: Study) -> str:
    """Say in which cohorts the curves of the error rest on fewer patients than the tables; empty where in none."""
    most: dict[str, int] = {}
    for model in models:
        most[model.cohort] = max(most.get(model.cohort, 0), len(model.rows))
    least = {model.cohort: len(model.rows) for model in in_common(models)}
    words = [f"{least[key]} of {n} in {study.cohort_names[key]}" for key, n in most.items() if least[key] < n]
    if not words:
        return ""
    return (
        f"The curves are of the patients whom all models can predict ({listed(words)}), against the Kaplan–Meier curve "
        "of the same patients. In the tables each model is judged, against that curve, in all whom it can predict."
    )


def flow_words(study: Study) -> str:
    """Name the stations of the diagram from left to right."""
    words = {"group": "risk group", "event": f"whether a {outcome(study).event_name} was seen", "label": "label"}
    if study.endpoint.label is not None:
        words["label"] = study.endpoint.label.name
    return " → ".join(words.get(key) or label_of(study, key) for key in study.survival.flow)


def no_heat_words(study: Study, signature: str) -> str:
    """Say why there is no heat map."""
    if not study.survival.heat_map:
        return f"{signature} of this study has no chosen features to draw."
    return f"Chapter 05 left no table of the features chosen for {signature} in this build, so there is no heat map."


def locked_words(locked_at: pd.Series, table: pd.DataFrame, study: Study) -> str:
    """Say which rule is used and what cut-offs it gave."""
    values = ", ".join(f"**{name}** {fixed(value, 3)}" for name, value in locked_at.items())
    text = f"From here on the cut-off is that of the study file's rule, {RULES[study.survival.threshold]}: {values}."
    own = table[table["rule"] == study.survival.threshold]
    lost = own.loc[own["cut_off"].isna(), "signature"]
    if lost.empty:
        return text
    return f"{text} The rule finds no cut-off for {', '.join(lost)}; there the median stands in."


def pooling_words(groups: pd.DataFrame, study: Study) -> str:
    """Say what pooling cohorts does to the evidence; empty where nothing is pooled."""
    own = of_signature(groups, main_signature(study))
    everyone = [(name, part) for key, name, part in parts(own, study) if key not in study.cohorts]
    words = []
    for name, part in everyone:
        inside = int((part["cohort"] == "train").sum())
        if inside:
            where = name.removesuffix(", pooled")
            words.append(f"{inside} of the {len(part)} patients of {where} are those on whom the cut-off was chosen")
    if not words:
        return ""
    return f"**Pooling reuses the threshold's own patients:** {'; '.join(words)}. A pooled P is no test of the cut-off."


def one_group_words(groups: pd.DataFrame, study: Study) -> str:
    """Say in which cohorts the cut-off puts everybody into one group; empty where it nowhere does."""
    words = []
    for (name, key), part in groups.groupby(["signature", "cohort"], sort=False):
        if not ({LOW, HIGH} <= set(part["group"])):
            only = part["group"].iloc[0]
            words.append(f"the cut-off of {name} puts all {len(part)} patients of {study.cohort_names[key]} at {only}")
    if not words:
        return ""
    text = "; ".join(words)
    return f"{text[0].upper()}{text[1:]}: there are no groups to compare there."


def survival_reading(groups: pd.DataFrame, comparison: pd.DataFrame, c_index: pd.DataFrame, study: Study) -> str:
    """Say what the page shows of the main signature, cohort by cohort, and what it can not show."""
    name = main_signature(study)
    tests = comparison[comparison["signature"] == name].set_index("key")
    searched = study.survival.threshold != "median"
    words = []
    for row in c_index[c_index["signature"] == name].to_dict("records"):
        shown = estimate(float(row["c_index"]), float(row["ci_low"]), float(row["ci_high"]))
        chance = "covers 0.5" if row["ci_low"] <= 0.5 <= row["ci_high"] else "does not cover 0.5"
        words.append(
            f"- {row['cohort']}: {row['events']} events in {row['n']} patients; C-index {shown}, which {chance}; "
            f"log-rank P of the groups {p_number(float(tests.loc[row['key'], 'p']))}"
            f"{' (too small: the cut-off was searched here)' if searched and row['key'] == 'train' else ''}."
        )
    judged = groups.loc[groups["cohort"] != "train", "cohort"].nunique()
    outside = (
        "The first line is the training cohort, where the cut-off was chosen; the others are the test."
        if judged
        else "There is no other cohort: nothing on this page says how the signature would do elsewhere."
    )
    return "\n".join([f"For **{name}**:", "", *words, "", outside])


def publish_groups(chapter: Chapter, comparison: pd.DataFrame, summary: pd.DataFrame) -> None:
    """Publish the log-rank P, and median and restricted mean of each group, by signature and cohort."""
    for row in comparison.to_dict("records"):
        chapter.publish(f"logrank_p_{row['key']}_{row['signature']}", float(row["p"]), n=int(row["n"]))
    for row in summary.to_dict("records"):
        place = f"{slug(row['group'])}_{row['key']}_{row['signature']}"
        limits = (float(row["median_low"]), float(row["median_high"]))
        reached = np.isfinite(row["median"])
        value = float(row["median"]) if reached else "not reached"
        chapter.publish(f"median_{place}", value, n=int(row["n"]), ci=limits if reached else None)
        limits = (float(row["mean_low"]), float(row["mean_high"]))
        chapter.publish(f"restricted_mean_{place}", float(row["restricted_mean"]), n=int(row["n"]), ci=limits)


def publish_ratios(chapter: Chapter, ratios: pd.DataFrame, c_index: pd.DataFrame) -> None:
    """Publish hazard ratios and concordance by signature and cohort."""
    names = {"high against low": "hr", "per SD": "hr_per_sd"}
    for row in ratios[ratios["hr"].notna()].to_dict("records"):
        key = f"{names[row['contrast']]}_{row['key']}_{row['signature']}"
        chapter.publish(key, float(row["hr"]), n=int(row["n"]), ci=(float(row["ci_low"]), float(row["ci_high"])))
    for row in c_index[c_index["c_index"].notna()].to_dict("records"):
        limits = (float(row["ci_low"]), float(row["ci_high"]))
        chapter.publish(f"harrell_c_{row['key']}_{row['signature']}", float(row["c_index"]), n=int(row["n"]), ci=limits)


def publish_coefficients(
    chapter: Chapter, table: pd.DataFrame, part: str, ratio: str, names: Mapping[str, str]
) -> None:
    """Publish the ratios of a regression as ``hr_alone_age``, ``or_together_sex_male`` … with the n of the model.

    Parameters
    ----------
    chapter : Chapter
    table : DataFrame
        What `univariable_table` or `multivariable_table` returns.
    part : {"alone", "together"}
    ratio : {"hr", "odds_ratio"}
    names : mapping
        Name of a term in the key, where it is not the column's.
    """
    prefix = f"{'or' if ratio == 'odds_ratio' else 'hr'}_{part}"
    size = table.groupby("term")["n"].sum()  # of the model: all levels of a characteristic together
    for row in table[~table["reference"] & table[ratio].notna()].to_dict("records"):
        term = names.get(row["term"], row["term"])
        key = f"{prefix}_{term}_{row['level']}" if row["level"] else f"{prefix}_{term}"
        limits = (float(row["ci_low"]), float(row["ci_high"]))
        chapter.publish(key, float(row[ratio]), n=int(size[row["term"]]), ci=limits)


def publish_horizons(chapter: Chapter, table: pd.DataFrame) -> None:
    """Publish the time-dependent AUC at each horizon, by signature and cohort."""
    for row in table.to_dict("records"):
        key = f"auc_at_{row['time']:g}_{row['key']}_{row['signature']}"
        limits = (float(row["ci_low"]), float(row["ci_high"]))
        chapter.publish(key, float(row["auc"]), n=int(row["n"]), ci=limits)


def publish_cut_offs(chapter: Chapter, cut_offs: pd.Series, groups: pd.DataFrame) -> None:
    """Publish each signature's locked cut-off, and how many patients it puts at high risk in each cohort."""
    for name, value in cut_offs.items():
        if np.isfinite(value):
            chapter.publish(f"cut_off_{name}", float(value))
    for (name, key), part in groups.groupby(["signature", "cohort"], sort=False):
        high = int((part["risk"] > part["cut_off"]).sum())
        chapter.publish(f"n_high_{key}_{name}", high, n=len(part))


def hazards_words(test: pd.DataFrame) -> str:
    """Say which covariates speak against proportional hazards."""
    if test.empty:
        return (
            "There is no model without penalty, or there are too few event times, for a test of proportional hazards."
        )
    own = test[test["term"] != GLOBAL]
    against = own[own["p"] < 0.05]
    together = float(test.loc[test["term"] == GLOBAL, "p"].iloc[0])
    whole = p_number(together)
    if against.empty and together < 0.05:
        return f"No single covariate has P below 0.05, but all together do (global P {whole}): read ratios as averages."
    if against.empty:
        return f"No covariate has P below 0.05 (global P {whole}). That is no proof: few events can hide a trend."
    names = listed([f"{row['covariate']} (P {p_number(row['p'])})" for row in against.to_dict("records")])
    if len(against) == 1:
        return f"The effect of {names} seems to change over time (global P {whole}): its hazard ratio is an average."
    return f"The effects of {names} seem to change over time (global P {whole}): their hazard ratios are averages."


def residual_panels(
    fit: CoxFit | None, test: pd.DataFrame, labels: Mapping[str, str]
) -> list[tuple[str, pd.DataFrame, dict[str, Any]]]:
    """Return title, scaled Schoenfeld residuals with their smooth curve, and options, one panel per covariate.

    A model with fewer than 8 events has none: no curve can be drawn through so few points.
    """
    if fit is None or test.empty:
        return []
    residuals = schoenfeld_residuals(fit)
    found = []
    for row in test[test["term"] != GLOBAL].to_dict("records"):
        try:
            table = schoenfeld_table(residuals, row["term"])
        except InputError:
            return []
        own = fit.design[row["term"]].columns
        level = float(fit.coef[own[0]]) if len(own) == 1 else 1.0  # that of a factor's contribution is 1
        words = labels.get(row["term"], row["term"])
        found.append((words, table.assign(covariate=words), {"p": float(row["p"]), "coefficient": level}))
    return found


HORIZON_HEADERS = {
    "time": "Month", "n_cases": "With the event by then", "n_controls": "Free of it", "signature_a": "Signature",
    "signature_b": "against", "auc_a": "AUC", "auc_b": "of the other",
}  # fmt: skip


def roc_panels(curves: pd.DataFrame) -> list[tuple[str, pd.DataFrame, dict[str, Any]]]:
    """Return title, curves and options of a panel per cohort and horizon."""
    found: list[tuple[str, pd.DataFrame, dict[str, Any]]] = []
    if curves.empty:
        return found
    for (cohort, time), part in curves.groupby(["cohort", "time"], sort=False):
        found.append((f"{cohort}, {time:g} months (n = {part['n'].max()})", part, {}))
    return found


def reversed_words(table: pd.DataFrame) -> str:
    """Say where an AUC's interval lies below 0.5, a higher risk going with later events; empty where it nowhere does.

    Parameters
    ----------
    table : DataFrame
        The first table of `auc_at_horizons`.
    """
    if table.empty:
        return ""
    below = table[table["ci_high"] < 0.5]
    if below.empty:
        return ""
    rows = [f"{row['signature']} in {row['cohort']} at {row['time']:g} months" for row in below.to_dict("records")]
    return (
        f"**Below 0.5.** The interval lies below 0.5 for {listed(rows)}: there a higher risk went with later events, "
        f"or with none. {counted(len(table), 'interval')} were looked at, so that a few may miss 0.5 by chance."
    )


def test_words(words: dict[str, str]) -> str:
    """Name the test of the P in a figure's caption; empty without any."""
    return "; P of the Mann–Whitney test" if words else ""


def colour_words(study: Study) -> str:
    """Say what a bar of the other colour means: a mistake of the groups, or perhaps only a short follow-up."""
    column, classes = outcome_classes(study)
    if column == "label":
        return "Bars of the wrong colour on either side are the patients that the groups get wrong."
    return (
        f'"{classes[0][0].upper()}{classes[0][1:]}" may only mean that a patient was followed briefly. A bar of the '
        "other colour is therefore no mistake of the groups by itself, and the two colours have no test here; the "
        "log-rank test above allows for the length of follow-up."
    )


def waterfall_panels(groups: pd.DataFrame, study: Study, signature: str) -> list[tuple[str, pd.DataFrame, Any]]:
    """Return title, risks and options of a waterfall per cohort, for `figures.panels`."""
    column, classes = outcome_classes(study)
    own = of_signature(groups, signature).dropna(subset=[column])
    found = []
    for key, part in own.groupby("cohort", sort=False):
        table = part[["risk"]].assign(label=part[column].astype(int))
        options = {"cut_off": float(part["cut_off"].iloc[0]), "classes": classes}
        found.append((f"{study.cohort_names[key]} (n = {len(part)})", table, options))
    return found


DIFFERENCE_HEADERS = {
    "signature_a": "Signature", "signature_b": "against", "c_a": "C-index", "c_b": "of the other",
    "p": "P (jackknife)",
}  # fmt: skip


def performance_shown(c_index: pd.DataFrame, ratios: pd.DataFrame) -> pd.DataFrame:
    """Return C-index and hazard ratios side by side, one row per signature and cohort, as papers print them."""
    shown = c_index[["signature", "cohort", "n", "events"]].copy()
    limits = c_index[["c_index", "ci_low", "ci_high"]].to_numpy()
    shown["C-index (95% CI)"] = [_worded(*row) for row in limits]
    for contrast, title in (("high against low", "HR, high against low (95% CI)"), ("per SD", "HR per SD (95% CI)")):
        own = ratios[ratios["contrast"] == contrast].set_index(["signature", "key"])
        place = [own.loc[key] for key in zip(c_index["signature"], c_index["key"], strict=True)]
        shown[title] = [_worded(row["hr"], row["ci_low"], row["ci_high"]) for row in place]
        shown[f"P ({'groups' if contrast != 'per SD' else 'per SD'})"] = [row["p"] for row in place]
    return shown


def _worded(value: float, low: float, high: float) -> str:
    return "–" if np.isnan(value) else estimate(value, low, high)


def firth_words(ratios: pd.DataFrame) -> str:
    """Say which hazard ratios needed Firth's penalty or could not be estimated; empty where none."""
    odd = ratios[ratios["note"] != ""]
    words = [
        f"{row['signature']} in {row['cohort']}, {row['contrast']}: {row['note']}" for row in odd.to_dict("records")
    ]
    return f"Hazard ratios that needed more than a plain fit, or have none – {'; '.join(words)}." if words else ""


def in_cells(table: pd.DataFrame, value: str, title: str, decimals: int = 3) -> pd.DataFrame:
    """Return a table with an estimate and its limits in one column, in words.

    Parameters
    ----------
    table : DataFrame
        `value`, ci_low and ci_high among its columns.
    value : str
        Column of the estimate.
    title : str
        What the column is called then; " (95% CI)" is added.
    decimals : int

    Returns
    -------
    DataFrame
        As `table`, without the three columns; a dash without an estimate, the estimate alone without limits.
    """
    rows = table[[value, "ci_low", "ci_high"]].to_numpy(dtype=float)
    cells = [_cell(found, low, high, decimals) for found, low, high in rows]
    shown = table.drop(columns=["ci_low", "ci_high"])
    return shown.assign(**{value: cells}).rename(columns={value: f"{title} (95% CI)"})


def _cell(value: float, low: float, high: float, decimals: int) -> str:
    if np.isnan(value):
        return "–"
    return fixed(value, decimals) if np.isnan(low) or np.isnan(high) else estimate(value, low, high, decimals)
