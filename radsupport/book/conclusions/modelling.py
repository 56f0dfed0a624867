"""What chapter 05 says of its tables: gaps, optimism, stability, penalties, comparisons and controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.evaluate.controls import LEAST_DRAWS
from radsupport.evaluate.reruns import AS_CHOSEN, FEW
from radsupport.learning.inspection import CORRELATED, PenaltyView
from radsupport.settings.columns import Column
from radsupport.wording import counted, estimate, fixed, listed, number, p_number, p_value

SEEN = 0.05  # half the width of the interval for which a number of draws is named
_SAME = 1e-9  # divisions whose values differ by less are equal


def missing(cohort: pd.DataFrame, columns: Mapping[str, Column], names: Mapping[str, str]) -> str:
    """Say which single columns of signatures have gaps, in which cohort, and what is done about them."""
    lines = []
    for name, column in columns.items():
        gaps = cohort[name].isna().groupby(cohort["cohort"], sort=False).agg(["sum", "size"])
        parts = [
            f"{row['sum']} of {row['size']} in {names[str(key)]}"
            for key, row in gaps[gaps["sum"] > 0].iterrows()
            if key != "segmentation"
        ]
        if parts:
            how = "median" if column.kind == "number" else "most frequent level"
            lines.append(
                f"- {column.label} is missing for {listed(parts)}: filled with the {how} of the training part."
            )
    return "\n".join(lines) or "No column that a signature names has gaps."


def cross_validated(table: pd.DataFrame, excluded: pd.DataFrame) -> str:
    """Say how far the apparent values lie above the honest ones, what published outputs are worth, who is left out."""
    return "\n\n".join(filter(None, [_optimism(table), _published(table), _excluded(excluded)]))


def _optimism(table: pd.DataFrame) -> str:
    fitted = table[table["inner_score"].notna() & table["apparent"].notna()]
    if fitted.empty:
        return "Nothing was fitted, so there is no optimism to speak of."
    worst, divided = fitted.loc[fitted["optimism"].idxmax()], "divisions_mean" in table
    above = int((fitted["out_of_fold_low"] > 0.5).sum())
    unseen = float(worst["divisions_mean" if divided else "out_of_fold"])
    return (
        f"The interval lies above 0.5 for {above} of {counted(len(fitted), 'fitted signature')}. The largest gap "
        f"between apparent and out of fold{' (mean over divisions)' if divided else ''} is that of "
        f"**{worst['signature']}**: {fixed(float(worst['apparent']))} against {fixed(unseen)}."
    )


def _published(table: pd.DataFrame) -> str:
    names, heirs = _of_kind(table, "published output"), _of_kind(table, "out of fold, on")
    if not names:
        return ""
    inherit = f" What learns from it inherits this: {_bold(heirs)}." if heirs else ""
    return (
        f"Published output: {_bold(names)}. Nothing of it is fitted here, and no fold leaves anybody out. The patients "
        "that a published model was trained on may be among the training patients of this page; its value is then an "
        "apparent one, not to be compared with values out of fold, and has no optimism that could be computed."
        f"{inherit}"
    )


def _of_kind(table: pd.DataFrame, beginning: str) -> list[str]:
    return [] if "kind" not in table else table.loc[table["kind"].str.startswith(beginning), "signature"].tolist()


def _bold(names: Sequence[str]) -> str:
    return listed([f"**{name}**" for name in names])


def _excluded(excluded: pd.DataFrame) -> str:
    lines = [
        f"- **{signature}**: {counted(len(rows), 'patient')} without a prediction ({reason})"
        for (signature, reason), rows in excluded.groupby(["signature", "reason"], sort=False)
    ]
    return "\n".join(lines) or "Every patient has a prediction by every signature."


def published_note(table: pd.DataFrame) -> str:
    """Return which values are none out of fold, for the end of a caption; empty where there is no published output."""
    names = _of_kind(table, "published output")
    return f" {listed(names)}: published output, not fitted here and so not out of fold." if names else ""


def divisions(spread: pd.DataFrame) -> str:
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


def stable(table: pd.DataFrame, names: Sequence[str]) -> str:
    """Say how many features of each signature were chosen in at least nine of ten fits."""
    shares = {name: table.loc[table["signature"] == name, "share"] for name in names}
    lines = [
        f"- **{name}**: {counted(len(own), 'feature')} chosen at least once, {int((own >= 0.9).sum())} of them in nine "
        "of ten fits or more"
        for name, own in shares.items()
    ]
    return "\n".join(lines) or "No signature of this study selects features."


def ties(table: pd.DataFrame, names: Sequence[str], most: int = 8) -> str:
    """Say for which signatures a list of at most `most` features cuts through some that were chosen equally often."""
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
    if not len(table[table["signature"].isin(list(names))]):
        return ""
    return "\n".join(lines) or "No feature that was chosen as often as these is left out."


def no_coefficients(chosen: pd.DataFrame, name: str) -> str:
    """Say why a signature has no coefficients to show; nothing where it has some."""
    own = chosen[chosen["signature"] == name]
    if own["coefficient"].notna().any():
        return ""
    if own.empty:
        return f"**{name}** has no coefficients: it kept no feature."
    return f"**{name}** has no coefficients: its learner is not linear in its {counted(len(own), 'feature')}."


def penalties(views: Sequence[PenaltyView]) -> str:
    """Say which penalty each LASSO used by which rule, and how many features it and the other penalties leave."""
    return "\n\n".join(map(_penalty, views)) or "None of the signatures shown here uses a LASSO."


def _penalty(view: PenaltyView) -> str:
    (name, used), *others = view.chosen.items()
    model = "Cox" if view.kind == "cox" else "logistic"
    more = "".join(f"; {other} would be {number(value)} and leave {_left(view, other)}" for other, value in others)
    return (
        f"**{view.signature}** ({model} LASSO): λ = {number(used)} is used, by {view.rule}; it leaves "
        f"{_left(view, name)}{more}."
    )


def _left(view: PenaltyView, name: str) -> str:
    return counted(view.kept[name], "feature") if view.kept[name] else "**no feature**"


def path_caption(view: PenaltyView, most: int = 7) -> str:
    """Say what the figure of the path shows, and which of its lines are named."""
    n = len(view.named)
    which = f"the {counted(n, 'feature')}" if n <= most else f"the {most} largest of {n} features"
    named = f"named: {which} with a coefficient at the λ used" if n else "no feature has a coefficient at the λ used"
    return f"LASSO path of {view.signature}, coefficients per SD ({named})"


def correlated(pairs: pd.DataFrame, chosen: pd.DataFrame, name: str) -> str:
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


def learners(table: pd.DataFrame) -> str:
    """Say which learner inner folds choose, which one training values would, and what both do out of fold."""
    lines = []
    for source, part in table.groupby("source", sort=False):
        inner, training = (dict(part.loc[part[rule].idxmax()]) for rule in ("inner_score", "apparent"))
        honest = estimate(*(inner[f"out_of_fold{end}"] for end in ("", "_low", "_high")))
        text = (
            f"- **{source}**: inner cross-validation chooses **{inner['learner']}** (inner folds "
            f"{fixed(inner['inner_score'])}; out of fold {honest})."
        )
        if training["learner"] == inner["learner"]:
            text += " The best training value belongs to the same learner."
        else:
            text += (
                f" By the training value it would be **{training['learner']}**, with {fixed(training['apparent'])} "
                f"on its own patients and {fixed(training['out_of_fold'])} out of fold."
            )
        lines.append(text)
    return "\n".join(lines)


def radar_centre(radar: pd.DataFrame) -> float:
    """Return the value at the centre of the radar, just below the lowest one, so that the lines stay apart."""
    return max(0.0, float(np.floor(10 * (radar["value"].min() - 0.02)) / 10))


def radar_alt(radar: pd.DataFrame, source: str) -> str:
    """Describe the radar in words."""
    ranges = radar.groupby("learner", sort=False)["value"].agg(["min", "max"])
    parts = "; ".join(f"{way} {fixed(low)} to {fixed(high)}" for way, low, high in ranges.itertuples())
    return (
        f"Radar of {radar['metric'].nunique()} learners on {source}, one spoke each; lowest and highest value: {parts}."
    )


def variants(part: pd.DataFrame) -> str:
    """Say what one group of choices shows: the range, and how many differ from the study's choice."""
    group, others = part["group"].iloc[0], part[part["variant"] != AS_CHOSEN]
    judged = others[others["p"].notna()] if "p" in others else others.iloc[:0]
    small = int((judged["p"] < 0.05).sum()) if len(judged) else 0
    low, high = part["out_of_fold"].min(), part["out_of_fold"].max()
    return (
        f"Group **{group}**: {counted(len(others), 'choice')} beside the study's own; out of fold from {fixed(low)} to "
        f"{fixed(high)}. {small} of {len(judged)} differ from the study's choice at P < 0.05 before adjustment (about "
        f"{0.05 * len(judged):.1f} would by chance). The highest of these values is not an estimate of what that "
        "choice is worth: it was picked after looking."
    )


def centers(differing: pd.DataFrame, harmonised: pd.DataFrame) -> str:
    """Say what the comparison with and without ComBat shows, and what ComBat does with a center it does not know."""
    return f"{_harmonised(harmonised)}\n\n{_refused(differing)}" if len(harmonised) else ""


def _harmonised(table: pd.DataFrame) -> str:
    known = table[table["difference"].notna()]
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


def _refused(table: pd.DataFrame) -> str:
    rows = table[table["refused"] != ""]
    if rows.empty:
        return "No division here leaves a center unseen."
    row = rows.iloc[0]
    return (
        "ComBat knows the shift and scale of the centers that it was fitted on, and of no other. Tried here: asked to "
        f"adjust the patients of {row['refused']} after a fit on {row['built_on']}, it refuses, as it should: their "
        "own shift can not be told from what they differ in as patients. The table above leaves their features as they "
        "are."
    )


def no_comparison(training_centers: Sequence[str]) -> str:
    """Say why a study has no comparison with and without ComBat."""
    if len(training_centers) == 1:
        return (
            f"All training patients come from {training_centers[0]}: ComBat has no second center to compare it with, "
            "and this study has no other center whose patients could be divided anew with the same features."
        )
    return "This study does not compare harmonised features with others."


def learning_curve(table: pd.DataFrame) -> str:
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
    return "\n".join([*lines, "", _reading(int(table["draws"].max()))]) if lines else ""


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


def permuted(control: pd.Series, observed: float) -> str:
    """Say what the permuted runs gave, whether their mean lies above 0.5, and how small a leak they can not show."""
    n = int(control["draws"])
    return (
        f"{counted(n, 'run')} of **{control['signature']}** with permuted outcomes gave a mean of "
        f"{fixed(control['mean'])} (single runs from {fixed(control['lowest'])} to {fixed(control['highest'])}). "
        f"{_leak(control)} With the true outcomes it was {fixed(observed)}; the share of runs that reach it, counting "
        f"the true one, is P = {fixed(control['p'])} (permutation test; with {counted(n, 'run')} it can not be smaller "
        f"than 1/{n + 1} = {fixed(1 / (1 + n))})."
    )


def _leak(control: pd.Series) -> str:
    """Say what the interval of the mean shows: only a mean above 0.5 speaks of a leak."""
    low, high = control["mean_low"], control["mean_high"]
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


def without_effect(summary: pd.DataFrame, names: Mapping[str, str] | None = None) -> str:
    """Say what the draws show together, and how little a handful of them can; `names` has the cohorts' in words."""
    draws = int(summary["draws"].max())
    if draws < LEAST_DRAWS:
        return _too_few(summary, draws)
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
    return f"{_joint(summary.replace({'cohort': names or {}}), draws)} {single}"


def _too_few(summary: pd.DataFrame, draws: int) -> str:
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


def _joint(summary: pd.DataFrame, draws: int) -> str:
    """Say which means over draws differ from 0.5, and how large a difference would have been seen at all."""
    summary = summary[summary["mean_low"].notna()]
    rows, away = len(summary), (summary["mean_low"] > 0.5) | (summary["mean_high"] < 0.5)
    p = np.minimum(1.0, rows * summary["p_t"])
    leaks = (p < 0.05) & (summary["mean"] > 0.5)
    verdict = (
        f"**{_rows_named(summary[leaks])} above 0.5, where a leak would put it**"
        if leaks.any()
        else "no mean is found above 0.5, where a leak would put it"
    )
    below = (p < 0.05) & (summary["mean"] < 0.5)
    lower = f"; below 0.5: {_rows_named(summary[below])}" if below.any() else ""
    missed = f" ({_rows_named(summary[away])} not)" if away.any() else ""
    half = float(((summary["mean_high"] - summary["mean_low"]) / 2).median())
    return (
        f"Over {draws} independent draws of the outcomes, {rows - int(away.sum())} of {counted(rows, 'mean')} have a "
        f"95% interval that holds 0.5{missed}; by chance {0.05 * rows:.1f} would not. Adjusted for their number "
        f"(Bonferroni), the smallest P against 0.5 is {p_number(float(p.min()))}: {verdict}{lower}. Half of the "
        f"intervals reach {fixed(half)} or more to either side: {draws} draws can not show a bias that is smaller."
    )


def _rows_named(summary: pd.DataFrame) -> str:
    pairs = zip(summary["signature"], summary["cohort"], summary["mean"], strict=True)
    return listed([f"{signature} ({cohort}, {fixed(mean)})" for signature, cohort, mean in pairs])
