"""TODO."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.book.chapter import Chapter
from radsupport.evaluate.controls import LEAST_DRAWS, SEEN
from radsupport.evaluate.cross_validation import PUBLISHED_AS, heirs_of_published, score_numbers
from radsupport.evaluate.discrimination import roc_table
from radsupport.evaluate.predictions import families
from radsupport.evaluate.reruns import AS_CHOSEN, FEW, choices
from radsupport.learning.inspection import CORRELATED, NAMED, PenaltyView
from radsupport.learning.learners import STEP_WORDS
from radsupport.learning.signatures import SignatureRun, published_signatures
from radsupport.settings.study import Study
from radsupport.wording import counted, estimate, fixed, listed, number, p_number, p_value


def control_words(control: dict[str, float], signature: str, observed: float) -> str:
    """Say what the permuted runs gave, whether their mean lies above 0.5, and how small a leak they can not show."""
    n = int(control["n"])
    runs = f"{counted(n, 'run')} of **{signature}** with permuted outcomes"
    return (
        f"{runs} gave a mean of {fixed(control['mean'])} (single runs from {fixed(control['lowest'])} to "
        f"{fixed(control['highest'])}). {_leak_words(control, n)} With the true outcomes it was {fixed(observed)}; the "
        f"share of runs that reach it, counting the true one, is P = {fixed(control['p'])} (permutation test; "
        f"with {counted(n, 'run')} it can not be smaller than 1/{n + 1} = {fixed(1 / (1 + n))})."
    )


def _leak_words(control: dict[str, float], n: int) -> str:
    """Say what the interval of the mean shows: only a mean above 0.5 speaks of a leak."""
    low, high = control["ci_low"], control["ci_high"]
    if np.isnan(low):
        return "One run has no interval: it can not show whether anything leaks."
    interval = f"The 95% interval of the mean (t) reaches from {fixed(low)} to {fixed(high)}"
    if low > 0.5:
        return f"{interval}: **it lies above 0.5, where a leak puts it**."
    lower = " It lies below 0.5, which is no leak: see the note above." if high < 0.5 else ""
    return (
        f"{interval}: it does not lie above 0.5, where a leak would put it.{lower} With this scatter any mean up to "
        f"{fixed(0.5 + (high - low) / 2)} (0.5 plus half the width of the interval) would pass: a smaller leak is not "
        "seen here."
    )


def null_shown(summary: pd.DataFrame, names: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return the columns of `null_summary` that are shown: intervals only where there are draws enough for them.

    Returns
    -------
    DataFrame
        signature, cohort (in words by `names`), draws, n, events_first, measure, mean, lowest, highest, and from
        `LEAST_DRAWS` draws ci_low, ci_high, p_t (t test of the mean against 0.5), covering.
    """
    table = summary.replace({"cohort": dict(names or {})}).rename(columns={"p_vs_half": "p_t"})
    columns = ["signature", "cohort", "draws", "n", "events_first", "measure", "mean", "lowest", "highest"]
    enough = bool((table["draws"] >= LEAST_DRAWS).any())
    return table[columns + (["ci_low", "ci_high", "p_t", "covering"] if enough else [])]


def publish_null(chapter: Chapter, summary: pd.DataFrame) -> None:
    """Publish how many single intervals, and how many means over draws, hold 0.5: from `LEAST_DRAWS` draws only."""
    joined = summary[summary["ci_low"].notna()]
    if joined.empty:
        return
    held = (joined["ci_low"] <= 0.5) & (joined["ci_high"] >= 0.5)
    chapter.publish("null_intervals_covering_half", int(joined["covering"].sum()), n=int(joined["intervals"].sum()))
    chapter.publish("null_means_covering_half", int(held.sum()), n=len(joined))


def null_words(summary: pd.DataFrame, names: Mapping[str, str] | None = None) -> str:
    """Say what the draws show together, and how little a handful of them can; `names` has the cohorts' in words."""
    draws = int(summary["draws"].max())
    if draws < LEAST_DRAWS:
        return _too_few_words(summary, draws)
    n, covering = int(summary["intervals"].sum()), int(summary["covering"].sum())
    single = (
        f"{covering} of {counted(n, 'interval')} from single draws hold 0.5, of which 95% should. Signatures share "
        "patients and, within a draw, outcomes, so that these intervals miss together."
    )
    if (summary["cohort"] == "train").any():
        single += (
            " Out of fold, values tend to lie a little below 0.5, because patients of different folds are ranked by "
            "different models, and single intervals are somewhat too narrow: they take the predictions as given."
        )
    return f"{_joint_words(summary.replace({'cohort': names or {}}), draws)} {single}"


def _too_few_words(summary: pd.DataFrame, draws: int) -> str:
    """Say that a few draws allow no verdict, and how many would be needed."""
    shown = "its value" if draws == 1 else "mean, lowest and highest value"
    text = (
        f"{counted(draws, 'draw')} of the outcomes {'allows' if draws == 1 else 'allow'} no interval and no "
        f"verdict, neither that something leaks nor that nothing does: the table gives {shown} of each signature. "
        f"An interval is given from {LEAST_DRAWS} draws (`null_draws` in the study file)."
    )
    sd = float(np.sqrt((summary["sd"] ** 2).mean()))
    if not sd > 0:
        return text
    needed = max(LEAST_DRAWS, int(np.ceil((stats.norm.ppf(0.975) * sd / SEEN) ** 2)))
    return (
        f"{text} Here single draws scatter with an SD of about {fixed(sd)}: for an interval that reaches {fixed(SEEN)} "
        f"to either side of a mean, about {counted(needed, 'draw')} would be needed."
    )


def _joint_words(summary: pd.DataFrame, draws: int) -> str:
    """Say which means over draws differ from 0.5, and how large a difference would have been seen at all."""
    summary = summary[summary["ci_low"].notna()]
    rows, away = len(summary), (summary["ci_low"] > 0.5) | (summary["ci_high"] < 0.5)
    p = np.minimum(1.0, rows * summary["p_vs_half"])
    leaks = (p < 0.05) & (summary["mean"] > 0.5)
    verdict = (
        f"**{_rows_named(summary[leaks])} above 0.5, where a leak would put it**"
        if leaks.any()
        else "no mean is found above 0.5, where a leak would put it"
    )
    below = (p < 0.05) & (summary["mean"] < 0.5)
    lower = f"; below 0.5: {_rows_named(summary[below])}" if below.any() else ""
    missed = f" ({_rows_named(summary[away])} not)" if away.any() else ""
    half = float(((summary["ci_high"] - summary["ci_low"]) / 2).median())
    return (
        f"Over {draws} independent draws of the outcomes, {rows - int(away.sum())} of {counted(rows, 'mean')} have a "
        f"95% interval that holds 0.5{missed}; by chance {0.05 * rows:.1f} would not. Adjusted for their number "
        f"(Bonferroni), the smallest P against 0.5 is {p_number(float(p.min()))}: {verdict}{lower}. Half of the "
        f"intervals reach {fixed(half)} or more to either side: {draws} draws can not show a bias that is smaller."
    )


def _rows_named(summary: pd.DataFrame) -> str:
    pairs = zip(summary["signature"], summary["cohort"], summary["mean"], strict=True)
    return listed([f"{signature} ({cohort}, {fixed(mean)})" for signature, cohort, mean in pairs])


def unused_words(study: Study) -> str:
    """Say why a study has no comparison with and without ComBat."""
    centers = study.cohorts["train"].centers
    if len(centers) == 1:
        return (
            f"All training patients come from {centers[0]}: ComBat has no second center to compare it with, and this "
            "study has no other center whose patients could be divided anew with the same features."
        )
    return "This study does not compare harmonised features with others."


def harmonisation_words(table: pd.DataFrame) -> str:
    """Say what the comparison with and without ComBat shows."""
    known = table.dropna(subset=["difference"])
    if known.empty:
        return "No difference can be estimated."
    small = int((known["p"] < 0.05).sum())
    largest = known.loc[known["difference"].abs().idxmax()]
    return (
        f"The largest difference is {fixed(float(largest['difference']))} ({largest['center']}, {largest['judged']}, "
        f"{p_value(float(largest['p']), name='P')}); {small} of {len(known)} have P < 0.05 before adjustment. A center "
        "that was not in training is left as it is, so there ComBat acts only through the model that was built on "
        "adjusted features."
    )


def stability_words(table: pd.DataFrame, names: list[str]) -> str:
    """Say how many features of each signature were chosen in at least nine of ten fits."""
    lines = []
    for name in names:
        shares = table.loc[table["signature"] == name, "share"]
        text = f"{counted(len(shares), 'feature')} chosen at least once, {int((shares >= 0.9).sum())} of them"
        lines.append(f"- **{name}**: {text} in nine of ten fits or more")
    return "\n".join(lines) if lines else "No signature of this study selects features."


def tie_words(table: pd.DataFrame, names: list[str], most: int = 8) -> str:
    """Say for which signatures `most_chosen` cuts through features that were chosen equally often."""
    lines = []
    for name in names:
        own = table[table["signature"] == name]
        if len(own) <= most or own["times_selected"].iloc[most - 1] != own["times_selected"].iloc[most]:
            continue
        times, fits = own["times_selected"].iloc[most], own["fits"].iloc[most]
        tied = own["times_selected"] == times
        lines.append(
            f"- **{name}**: {counted(int(tied.sum()), 'feature')} tie at {times} of {fits} fits; "
            f"{int(tied.head(most).sum())} of them are shown, the first in alphabetical order, no better than the rest"
        )
    return "\n".join(lines) or "No feature that was chosen as often as these is left out."


def no_coefficient_words(chosen: pd.DataFrame, name: str) -> str:
    """Say why a signature has no coefficients to show."""
    kept = int((chosen["signature"] == name).sum())
    if not kept:
        return f"**{name}** has no coefficients: it kept no feature."
    return f"**{name}** has no coefficients: its learner is not linear in its {counted(kept, 'feature')}."


def correlation_words(pairs: pd.DataFrame, chosen: pd.DataFrame, name: str) -> str:
    """Say how related the features of a signature are, and which of them are looked at."""
    if pairs.empty:
        return f"**{name}** uses fewer than two numeric features: there is no pair to correlate."
    strong = int((pairs["r"].abs() > 0.7).sum())
    text = (
        f"**{name}** ({_shown(pairs, chosen, name)}): {strong} of {counted(len(pairs), 'pair')} with |r| above 0.7; "
        f"the largest |r| is {fixed(float(pairs['r'].abs().max()))}."
    )
    if chosen.loc[chosen["signature"] == name, "coefficient"].isna().all():
        return text
    return f"{text} Coefficients of strongly related features can not be told apart."


def correlation_caption(pairs: pd.DataFrame, chosen: pd.DataFrame, name: str) -> str:
    """Return what the figure of a signature's correlations shows."""
    return f"Correlation of features of {name} ({_shown(pairs, chosen, name)})"


def _shown(pairs: pd.DataFrame, chosen: pd.DataFrame, name: str) -> str:
    """Say how many features are in the pairs, of how many, and by which rule."""
    own = chosen[chosen["signature"] == name]
    shown, total = pd.concat([pairs["feature_a"], pairs["feature_b"]]).nunique(), len(own)
    if shown == total:
        return f"all {counted(total, 'feature')}"
    if shown < CORRELATED:
        return f"{shown} of {total} features, the numeric ones"
    if own["coefficient"].notna().any():
        return f"{shown} of {total} features, those with the largest coefficients"
    share = own["share"].nlargest(shown).min()
    tied, above = int((own["share"] == share).sum()), int((own["share"] > share).sum())
    lot = f", {shown - above} of them drawn by lot from {tied} that tie" if above + tied > shown else ""
    return f"{shown} of {total} features, those chosen most often{lot}"


def radar_alt(radar: pd.DataFrame, source: str) -> str:
    """Describe the radar in words."""
    ranges = radar.groupby("learner", sort=False)["value"].agg(["min", "max"])
    parts = "; ".join(f"{way} {fixed(low)} to {fixed(high)}" for way, low, high in ranges.itertuples())
    return (
        f"Radar of {radar['metric'].nunique()} learners on {source}, one spoke each; lowest and highest value: {parts}."
    )


def radar_limits(radar: pd.DataFrame) -> dict[str, float]:
    """Return where the centre of the radar lies: just below the lowest value, so that the lines stay apart."""
    return {"low": max(0.0, np.floor(10 * (radar["value"].min() - 0.02)) / 10), "high": 1.0}


def choice_words(table: pd.DataFrame) -> str:
    """Say which learner each rule chooses and what it then does on patients it has not seen."""
    lines = []
    for source, part in choices(table).groupby("source", sort=False):
        inner, training = (row for _, row in part.iterrows())
        honest_value = estimate(inner["out_of_fold"], inner["ci_low"], inner["ci_high"])
        text = (
            f"- **{source}**: inner cross-validation chooses **{inner['learner']}** (inner folds "
            f"{fixed(inner['chosen_by'])}; out of fold {honest_value})."
        )
        if training["learner"] == inner["learner"]:
            text += " The best training value belongs to the same learner."
        else:
            text += (
                f" By the training value it would be **{training['learner']}**, with {fixed(training['chosen_by'])} "
                f"on its own patients and {fixed(training['out_of_fold'])} out of fold."
            )
        lines.append(text)
    return "\n".join(lines)


_SAME = 1e-9  # divisions whose values differ by less are equal


def luck_words(spread: pd.DataFrame) -> str:
    """Say for which signatures the first division is the highest or the lowest of theirs."""
    spread = spread[spread["divisions"] > 1]
    if spread.empty:
        return "One division only here: this profile draws one, or the folds are those that features were learnt with."
    n, varies = int(spread["divisions"].max()), spread["highest"] - spread["lowest"] > _SAME
    highest = spread[varies & (spread["highest"] - spread["first"] < _SAME)]
    lowest = spread[varies & (spread["first"] - spread["lowest"] < _SAME)]
    return (
        f"Later chapters use the predictions of the first division. Of {n} divisions it is the highest for "
        f"{_named(highest)}, and the lowest for {_named(lowest)}. By chance it would be the highest for one signature "
        f"in {n}, and the lowest for as many; signatures share the folds, so that they are lucky together. The mean "
        "over divisions does not depend on which one came first."
    )


def _named(rows: pd.DataFrame) -> str:
    """Return signatures with the value of their first division and the mean of all."""
    values = zip(rows["signature"], rows["first"], rows["mean"], strict=True)
    return listed([f"**{name}** ({fixed(first, 3)}; mean {fixed(mean, 3)})" for name, first, mean in values], limit=20)


def publish_divisions(chapter: Chapter, spread: pd.DataFrame) -> None:
    """Publish each signature's mean over divisions as ``mean_over_divisions:<signature>``, for chapter 06 to quote.

    Its n is the number of divisions, and its limits are the lowest and the highest division: no confidence interval,
    so that it is to be quoted as a range. Keys that start with ``auc_train_`` would be taken for signatures.

    Parameters
    ----------
    chapter : Chapter
    spread : DataFrame
        `spread_table`; signatures with one division are not published.
    """
    for row in spread[spread["divisions"] > 1].to_dict("records"):
        limits = (float(row["lowest"]), float(row["highest"]))
        chapter.publish(f"{PUBLISHED_AS}{row['signature']}", float(row["mean"]), n=int(row["divisions"]), ci=limits)


def penalty_words(view: PenaltyView) -> str:
    """Say which penalty was used by which rule, and how many features it and the other penalties leave."""
    (name, used), *others = view.chosen.items()
    model = "Cox" if view.kind == "cox" else "logistic"
    more = "".join(f"; {other} would be {number(value)} and leave {_left(view, other)}" for other, value in others)
    return (
        f"**{view.signature}** ({model} LASSO): λ = {number(used)} is used, by {view.rule}; it leaves "
        f"{_left(view, name)}{more}."
    )


def _left(view: PenaltyView, name: str) -> str:
    return counted(view.kept[name], "feature") if view.kept[name] else "**no feature**"


def path_caption(view: PenaltyView, most: int = NAMED) -> str:
    """Say what the figure of the path shows, and which of its lines are named."""
    n = len(view.named)
    which = f"the {counted(n, 'feature')}" if n <= most else f"the {most} largest of {n} features"
    named = f"named: {which} with a coefficient at the λ used" if n else "no feature has a coefficient at the λ used"
    return f"LASSO path of {view.signature}, coefficients per SD ({named})"


def curve_words(table: pd.DataFrame) -> str:
    """Say for each signature how its value changes from the fewest to the most training patients, and how to read it.

    With fewer than `FEW` draws per size a rise can not be told from the luck of one draw.
    """
    lines = []
    for (name, judged), part in table.groupby(["signature", "judged"], sort=False):
        rows = part.sort_values("n")
        first, last = rows.iloc[0], rows.iloc[-1]
        lines.append(
            f"- **{name}**, {judged}: {fixed(first['value'])} with {first['n']:.0f} training patients, "
            f"{fixed(last['value'])} with {last['n']:.0f}"
        )
    if not lines:
        return "None of these signatures is fitted here."
    return "\n".join([*lines, "", _reading(int(table["draws"].max()))])


def _reading(draws: int) -> str:
    if draws < FEW:
        return (
            f"With {counted(draws, 'draw')} per size these values do not tell whether more patients would help: "
            f"another draw of the same size may differ by as much. At least {FEW} draws per size would be needed."
        )
    return (
        "A rise that is larger than the range of the draws, and goes on at the right end, suggests that more patients "
        "would help; a flat curve, that they would not. The draws share patients, so that their range is narrower than "
        "that of new patients."
    )


def published_words(study: Study) -> str:
    """Say what the value of a published output is worth among training patients; empty where a study has none."""
    names, heirs = published_signatures(study), heirs_of_published(study)
    if not names:
        return ""
    inherit = f" What learns from it inherits this: {_bold(heirs)}." if heirs else ""
    return (
        f"Published output: {_bold(names)}. Nothing of it is fitted here, and no fold leaves anybody out. The patients "
        "that a published model was trained on may be among the training patients of this page; its value is then an "
        "apparent one, not to be compared with values out of fold, and has no optimism that could be computed."
        f"{inherit}"
    )


def published_note(study: Study) -> str:
    """Return the same in a few words, for the end of a caption; empty where a study has no published output."""
    names = published_signatures(study)
    return f" {listed(names)}: published output, not fitted here and so not out of fold." if names else ""


def _bold(names: list[str]) -> str:
    return listed([f"**{name}**" for name in names])


def funnel_parts(run: SignatureRun) -> list[tuple[str, pd.DataFrame, dict[str, Any]]]:
    """Return one panel per signature that selects: the fit on all training patients, as `figures.panels` takes it."""
    if "step" not in run.funnel:
        return []
    refit = run.funnel[run.funnel["fold"].isna()]
    parts: list[tuple[str, pd.DataFrame, dict[str, Any]]] = []
    for name, rows in refit.groupby("signature", sort=False):
        steps = rows[rows["step"] != "imputation"]
        if set(steps["step"]) <= {"variance"}:
            continue
        start = pd.DataFrame({"step": ["given"], "n_features": [int(rows["n_in"].iloc[0])]})
        steps = steps[(steps["step"] != "variance") | (steps["n_in"] > steps["n_out"])]
        after = pd.DataFrame({"step": steps["step"].map(STEP_WORDS), "n_features": steps["n_out"].astype(int)})
        parts.append((str(name), pd.concat([start, after], ignore_index=True), {}))
    return parts


def excluded_words(run: SignatureRun) -> str:
    """Say who has no prediction, and why."""
    if run.excluded.empty:
        return "Every patient has a prediction by every signature."
    lines = []
    for (signature, reason), rows in run.excluded.groupby(["signature", "reason"], sort=False):
        lines.append(f"- **{signature}**: {counted(len(rows), 'patient')} without a prediction ({reason})")
    return "\n".join(lines)


def missing_words(study: Study, cohort: pd.DataFrame) -> str:
    """Say which single columns of signatures have gaps, in which cohort, and what is done about them."""
    lines = []
    for name in dict.fromkeys(name for s in study.signatures for name in s.columns):
        gaps = cohort[name].isna().groupby(cohort["cohort"], sort=False).agg(["sum", "size"])
        parts = [
            f"{row['sum']} of {row['size']} in {study.cohorts[str(key)].name}"  # type: ignore[index]
            for key, row in gaps[gaps["sum"] > 0].iterrows()
            if key != "segmentation"
        ]
        if parts:
            how = "median" if study.columns[name].kind == "number" else "most frequent level"
            filled = f"filled with the {how} of the training part"
            lines.append(f"- {study.columns[name].label} is missing for {listed(parts)}: {filled}.")
    return "\n".join(lines) if lines else "No column that a signature names has gaps."


def roc_parts(predictions: pd.DataFrame, study: Study) -> list[tuple[str, pd.DataFrame, dict[str, Any]]]:
    """Return the training cohort's ROC curves as panels: one per comparison of the study with up to five signatures.

    Signatures that are in none of these share the last panel.
    """
    names = list(predictions["signature"].unique())
    groups = {c.name: c.signatures for c in families(predictions, study) if len(c.signatures) <= 5}
    left = [name for name in names if not any(name in group for group in groups.values())]
    groups |= {"Others" if groups else "All signatures": left} if left else {}
    tables = {title: roc_table(predictions, study, "train", group) for title, group in groups.items()}
    return [(title, table, {}) for title, table in tables.items() if len(table)]


def optimism_words(table: pd.DataFrame) -> str:
    """Say what `cross_validation_table` shows: how far the apparent values lie above the honest ones."""
    fitted = table[table["inner_score"].notna() & table["apparent"].notna()]
    if fitted.empty:
        return "Nothing was fitted, so there is no optimism to speak of."
    worst = fitted.loc[fitted["optimism"].idxmax()]
    above = int((fitted["ci_low"] > 0.5).sum())
    divided = "divisions_mean" in table
    unseen = float(worst["divisions_mean" if divided else "out_of_fold"])
    return (
        f"The interval lies above 0.5 for {above} of {counted(len(fitted), 'fitted signature')}. The largest gap "
        f"between apparent and out of fold{' (mean over divisions)' if divided else ''} is that of "
        f"**{worst['signature']}**: {fixed(float(worst['apparent']))} against {fixed(unseen)}."
    )


def publish_scores(chapter: Chapter, scores: pd.DataFrame) -> None:
    """Publish every signature's discrimination as ``auc_<cohort>_<signature>`` or ``c_index_...``."""
    for key, entry in score_numbers(scores).items():
        chapter.publish(key, entry["value"], n=entry["n"], ci=(entry["ci_low"], entry["ci_high"]))


def publish_counts(chapter: Chapter, run: SignatureRun) -> None:
    """Publish how many features each step of a signature leaves, as ``features_<signature>``."""
    for name, table, _ in funnel_parts(run):
        counts = [str(n) for n in table.loc[table["step"] != STEP_WORDS["variance"], "n_features"]]
        chapter.publish(f"features_{name}", " → ".join(counts), n=int(run.results[name].risks["subject"].nunique()))


def group_words(table: pd.DataFrame, group: str) -> str:
    """Say what one group of choices shows: the range, and how many differ from the study's choice."""
    part = table[table["group"] == group]
    others = part[part["variant"] != AS_CHOSEN]
    judged = others[others["p"].notna()] if "p" in others else others.iloc[:0]
    small = int((judged["p"] < 0.05).sum()) if len(judged) else 0
    low, high = part["out_of_fold"].min(), part["out_of_fold"].max()
    return (
        f"Group **{group}**: {counted(len(others), 'choice')} beside the study's own; out of fold from {fixed(low)} to "
        f"{fixed(high)}. {small} of {len(judged)} differ from the study's choice at P < 0.05 before adjustment (about "
        f"{0.05 * len(judged):.1f} would by chance). The highest of these values is not an estimate of what that "
        "choice is worth: it was picked after looking."
    )


HEADERS = {
    "signature": "Signature", "inputs": "Learns from", "phases": "Phases", "selection": "Selection in each fold",
    "learner": "Learner", "n": "Patients", "events": "Events", "measure": "Measure", "out_of_fold": "Out of fold",
    "ci_low": "95% CI from", "ci_high": "to", "p_null_se": "P against 0.5 (null SE)",
    "p_wald": "P against 0.5 (Wald, jackknife)", "p_t": "P against 0.5 (t test over draws)", "apparent": "Apparent",
    "inner_score": "Inner folds", "optimism": "Optimism", "divisions": "Divisions", "mean": "Mean", "sd": "SD",
    "lowest": "Lowest", "highest": "Highest", "first": "First division", "step": "Step",
    "divisions_mean": "Mean over divisions", "divisions_range": "Lowest–highest", "kind": "What the value is",
    "features_in": "Features in", "features_left": "Features left", "fewest": "Fewest in a fold",
    "most": "Most in a fold", "refit": "All training patients", "feature": "Feature", "times_selected": "Times chosen",
    "fits": "Fits", "share": "Share of fits", "coefficient": "Coefficient per SD", "odds_ratio": "Odds ratio per SD",
    "hazard_ratio": "Hazard ratio per SD", "source": "Source", "external": "External", "internal": "Internal",
    "difference": "Difference", "cohort": "Cohort", "variant": "Choice", "built_on": "Built on", "center": "Center",
    "judged": "Judged", "without": "Without", "with_combat": "With ComBat", "features": "Features",
    "before": "Differ before", "after": "Differ after", "value": "Value", "draws": "Draws",
    "events_first": "Events (first draw)", "covering": "Draws whose own 95% CI holds 0.5",
    "diff_low": "Difference from", "diff_high": "to", "rule": "Chosen by",
    "description": "What it is", "reason": "Reason", "subject": "Patient",
}  # fmt: skip


def paired_headers(label: bool) -> dict[str, str]:
    """Return `HEADERS` with the name of the test behind the P of a paired difference, for an AUC or a C-index."""
    return HEADERS | {"p": "P (paired DeLong test)" if label else "P (paired test, jackknife)"}
