"""What chapter 05 says of its tables: gaps, optimism, stability, penalties, comparisons and controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from radsupport.book.conclusions.comparison import below_chance, folds_together
from radsupport.evaluate.controls import LEAST_DRAWS
from radsupport.evaluate.reruns import AS_CHOSEN, FEW
from radsupport.learning.inspection import CORRELATED, PenaltyView
from radsupport.learning.locked import Model
from radsupport.settings.parts import Column
from radsupport.wording import (
    center_words,
    counted,
    estimate,
    fixed,
    listed,
    number,
    p_number,
    p_value,
    readable,
    share,
    source_words,
)

_SAME = 1e-9  # divisions whose values differ by less are equal


def missing(cohort: pd.DataFrame, columns: Mapping[str, Column], names: Mapping[str, str]) -> str:
    """Say which single columns of signatures have gaps, in which cohort, and what is done about them."""
    lines = []
    for name, column in columns.items():
        gaps = cohort[name].isna().groupby(cohort["cohort"], sort=False).agg(["sum", "size"])
        gaps = gaps[(gaps["sum"] > 0) & (gaps.index != "segmentation")]
        where = listed([f"{lost} of {n} in {names[str(key)]}" for key, lost, n in gaps.itertuples()])
        filled = (
            f"filled with the {'median' if column.kind == 'number' else 'most frequent level'} of the training part"
        )
        lines += [f"- {column.label} is missing for {where}: {filled}."] * bool(len(gaps))
    none = "No clinical column that a signature names has gaps." if columns else "No signature names a clinical column."
    return "\n".join(lines) or none


def cross_validated(
    table: pd.DataFrame, excluded: pd.DataFrame, names: Mapping[str, str], pooling: str = "raw"
) -> str:  # fmt: skip
    """Say how far apparent values lie above honest ones, how folds were pooled, what outputs say, who is left out.

    `pooling` is that of `folds_together`, which is not said where nothing is fitted here.
    """
    kinds = table["kind"] if "kind" in table else pd.Series("", table.index)
    taken, heirs = (
        table.loc[kinds.str.startswith(beginning), "signature"].map("**{}**".format).tolist()
        for beginning in ("published output", "out of fold, on")
    )
    words = f"Published output: {listed(taken)}." + f" What learns from it inherits this: {listed(heirs)}." * bool(
        heirs
    )
    lines = []
    for (signature, reason), rows in excluded.groupby(["signature", "reason"], sort=False):
        where = listed([f"{n} in {names[str(key)]}" for key, n in rows["cohort"].value_counts(sort=False).items() if n])
        lines.append(f"- **{signature}**: {counted(len(rows), 'patient')} without a prediction ({reason}): {where}")
    left_out = "\n".join(lines) or "Every patient has a prediction by every signature."
    together = folds_together(table, pooling) if len(taken) < len(table) else ""
    return "\n\n".join(filter(None, [_optimism(table), _below(table), together, *[words] * bool(taken), left_out]))


def in_short(
    table: pd.DataFrame,
    best: str,
    measure: str,
    control: pd.DataFrame,
    elsewhere: pd.DataFrame,
    names: Mapping[str, str],
    variants: pd.DataFrame | None = None,
) -> tuple[str, str]:
    """Say line by line what the signature of the later chapters reaches, what warns of it, gaps and controls; and all.

    Parameters
    ----------
    table : DataFrame
        `evaluate.cross_validation`.
    best, measure : str
    control : DataFrame
        Permuted runs by signature (`evaluate.controls.over_draws`).
    elsewhere : DataFrame
        `evaluate.features.sources_on_scale`.
    names : mapping of cohort to name
    variants : DataFrame, optional
        `evaluate.variants`.
    """
    odd = elsewhere[elsewhere["another_scale"].astype(bool)] if len(elsewhere) else elsewhere
    lines = [_chosen(table, best, measure), _below(table), scale(odd.assign(unused=0), names) if len(odd) else ""]
    lines += [_optimism(table), _leak(control), disagreement(control, table, why=False)]
    return "\n".join(filter(None, lines)), "\n".join(filter(None, [*lines, _apart(variants)]))


def _below(table: pd.DataFrame) -> str:
    return below_chance(table, {"train": "training"}, "out_of_fold")


def _apart(table: pd.DataFrame | None) -> str:
    """Name the choices of earlier chapters whose value differs from the study's own, P below 0.05; empty without."""
    if table is None or "p" not in table:
        return ""
    parts = [
        f"{row['signature']}, {row['variant']}: {fixed(row['out_of_fold'])}, "
        f"{estimate(*(row[f'difference{end}'] for end in ('', '_low', '_high')))} against the study's choice"
        for row in table[table["p"] < 0.05].to_dict("records")
    ]
    many = f"of {counted(int(table['p'].notna().sum()), 'test')}, not adjusted"
    return f"Other choices that differ, out of fold: {'; '.join(parts)} ({many})." if parts else ""


def disagreement(control: pd.DataFrame, table: pd.DataFrame, why: bool = True) -> str:
    """Say where permuted outcomes and the test of the table do not agree about chance, and which to believe, and why.

    Parameters
    ----------
    control : DataFrame
        Permuted runs by signature (`evaluate.controls.over_draws`).
    table : DataFrame
        `evaluate.cross_validation`.
    """
    if not {"p", "observed"} <= set(control):
        return ""
    key = next((name for name in ("p_within", "p_null_se", "p_wald") if name in table), "")
    tested, parts = table.set_index("signature")[key].to_dict() if key else {}, []
    for row in control.dropna(subset=["p"]).to_dict("records"):
        p = tested.get(row["signature"], np.nan)
        if np.isnan(p) or (row["p"] < 0.05) == (p < 0.05):
            continue
        n = int(row["draws"])
        low, high = row["p_low"], row["p_high"]
        leaves = f", which alone leaves P between {fixed(low, 3)} and {fixed(high)}" * why
        tests = f"{p_value(row['p'], name='P')} by {n} permutations{leaves}; {p_value(p, name='P')} in the table"
        parts.append(f"{row['signature']} ({tests})")
    reason = "; permutation repeats selection and tuning, in few folds: believe it, as far as so many runs tell" * why
    return f"Chance is judged in two ways that do not agree for {'; '.join(parts)}{reason}." if parts else ""


def _chosen(table: pd.DataFrame, best: str, measure: str) -> str:
    """Say what a signature reaches out of fold, and what on its own patients; empty where it has no value."""
    own = table[table["signature"] == best].dropna(subset=["out_of_fold"])
    if own.empty:
        return ""
    row, value = own.iloc[0], "within" if own.get("within", pd.Series(np.nan)).notna().any() else "out_of_fold"
    words = estimate(row[value], row[f"{value}_low"], row[f"{value}_high"]) + " within centers" * (value == "within")
    apparent = f"; on its own patients {fixed(row['apparent'])}" * bool(pd.notna(row["apparent"]))
    whose = f"in {row['n']:.0f} training patients, out of fold{apparent}"
    how = "one division"
    if pd.notna(mean := row.get("divisions_mean", np.nan)):
        words, how = f"{fixed(mean)} on average of all divisions ({row['divisions_range']}), the first {words}", ""
    whose += f"; {how}" * bool(how and "kind" not in own)
    return f"{best}, the signature of the later chapters: {measure} {words} {whose}."


def _leak(summary: pd.DataFrame) -> str:
    """Say in one line whether permuted outcomes gave more than chance (`control`); empty without a control."""
    if summary.empty:
        return ""
    runs = f"{counted(int(summary['draws'].max()), 'run')} with permuted outcomes"
    if summary["draws"].max() < LEAST_DRAWS:
        return (
            f"Control: {runs} gave {fixed(summary['lowest'].min())} to {fixed(summary['highest'].max())}; no verdict."
        )
    above = summary.loc[summary["mean_low"] > 0.5, "signature"].tolist()
    words = [
        f"{one['signature']} {estimate(one['mean'], one['mean_low'], one['mean_high'])}"
        for one in summary.to_dict("records")
    ]
    where = "above 0.5, where a leak would put it"
    if above:
        return f"**Control: {listed(above)} {where}**: means of {runs}: {listed(words)}."
    return f"Control: means of {runs}: {listed(words)}; none {where}."


def _optimism(table: pd.DataFrame) -> str:
    fitted = table[table["apparent"].notna()]  # networks, too, though no inner folds tuned them; no published output
    if fitted.empty:
        return "Nothing was fitted, so there is no optimism to speak of."
    worst, divided = fitted.loc[fitted["optimism"].idxmax()], "divisions_mean" in table
    unseen, mean = float(worst["divisions_mean" if divided else "out_of_fold"]), " (mean over divisions)" * divided
    low = "within_low" if table.get("within_low", pd.Series(dtype=float)).notna().any() else "out_of_fold_low"
    text = (
        f"The interval{' within centers' * (low == 'within_low')} lies above 0.5 for {(fitted[low] > 0.5).sum()} of "
        f"{counted(len(fitted), 'fitted signature')}. The largest gap between apparent and out of fold{mean} is that "
        f"of **{worst['signature']}**: {fixed(float(worst['apparent']))} against {fixed(unseen)}."
    )
    higher = listed(fitted.loc[fitted["optimism"] < 0, "signature"].map("**{}**".format).tolist())
    if worst["optimism"] <= 0:
        text = f"{text.split(' The largest')[0]} No apparent value lies above the one out of fold{mean}."
    return text + f" Out of fold{mean} {higher} did better than apparent: by chance." * bool(higher != "none")


def scale(table: pd.DataFrame, names: Mapping[str, str]) -> str:
    """Say whose columns lie on another scale in a cohort than in training (`evaluate.features.sources_on_scale`).

    What a signature uses decides; columns that no fit of it used are a note.
    """
    alarm = table["another_scale"].astype(bool)
    words = [
        f"{row['signature']}: {source_words(str(row['source']))} in {names[str(row['cohort'])]} ({row['alarms']} of "
        f"{row['features']} numeric columns that it uses, {_beyond(row)}such as {readable(str(row['example']))})"
        for row in table[alarm].to_dict("records")
    ]
    left = [
        f"{row['signature']}: {row['unused']} of {source_words(str(row['source']))} in {names[str(row['cohort'])]}"
        for row in table[~alarm & table["unused"].gt(0)].to_dict("records")
    ]
    note = f" Alarms among columns that a signature does not use touch none of its risks: {listed(left)}." * bool(left)
    if not words:
        return f"No signature uses columns on another scale elsewhere than in training.{note}" * (len(table) > 0)
    return (
        f"**Another scale than in training:** {listed(words)}. Other units, standardised against raw, another zero of "
        "HU, scanners this different, or (of a network's risks) the mean of several models: until that is explained, "
        f"risks that rest on these columns are not to be trusted in these patients.{note}"
    )


def _beyond(row: Mapping[Any, Any]) -> str:
    """Say how many columns have no value inside the training range: one is enough, where few raise an alarm."""
    n = int(row.get("beyond", 0))
    return f"{n} of them without a value inside the training range, " if n else ""


def divisions(spread: pd.DataFrame) -> str:
    """Say for which signatures the first division is the highest or the lowest of theirs."""
    spread = spread[spread["divisions"] > 1]
    if spread.empty:
        return "One division only here: this profile draws one, or the folds are those that features were learnt with."
    n, varies = int(spread["divisions"].max()), spread["highest"] - spread["lowest"] > _SAME
    first, mean = (spread[column].map("{:.3f}".format) for column in ("first", "mean"))
    words = "**" + spread["signature"] + "** (" + first + "; mean " + mean + ")"
    extreme = [varies & ((spread[end] - spread["first"]).abs() < _SAME) for end in ("highest", "lowest")]
    highest, lowest = (listed(words[rows].tolist(), limit=20) for rows in extreme)
    return (
        f"Of {n} divisions the first is the highest for {highest}, and the lowest for {lowest}. By chance it would be "
        f"the highest for one signature in {n}, and the lowest for as many."
    )


def stable(
    table: pd.DataFrame,
    names: Sequence[str],
    shown: Sequence[str] = (),
    most: int = 8,
    positions: Sequence[str] = (),
) -> str:
    """Say how many features each signature chose in nine of ten fits, and which of `shown` a list of `most` cuts off.

    The list cuts through features that were chosen equally often. `positions` names signatures whose network is tuned
    anew in every fold.
    """
    lines, cut = [], []
    for name, own in ((name, table[table["signature"] == name]) for name in names):
        often = f"{(own['share'] >= 0.9).sum()} of them in nine of ten fits or more"
        lines.append(f"- **{name}**: {counted(len(own), 'feature')} chosen at least once, {often}")
    for name, own in ((name, table[table["signature"] == name]) for name in dict.fromkeys(table["signature"])):
        times, beginning = own["times_selected"].iloc[min(most, len(own)) - 1], "the first in alphabetical order"
        tied = own["times_selected"] == times
        where = f"tie at {times} of {own['fits'].iloc[0]} fits; {tied.head(most).sum()} of them are shown, {beginning}"
        words = f"- **{name}**: {counted(int(tied.sum()), 'feature')} {where}, no better than the rest"
        cut += [words * bool(tied.iloc[most:].any())] * (name in shown)
    ties = "\n".join(filter(None, cut)) or "No feature that was chosen as often as these is left out." * bool(cut)
    chosen = "\n".join(lines) or "No signature of this study selects features."
    return "\n\n".join(filter(None, [chosen, ties, _positions(positions)]))


def _positions(names: Sequence[str]) -> str:
    """Say of which signatures the features are other ones in every fold, for a network was tuned anew there."""
    if not names:
        return ""
    return (
        f"**Shares of {listed(names)} count positions, not features:** the network is tuned anew in each fold, so that "
        "number 7 of one fold is another feature than number 7 of the next. A small share there is no instability."
    )


def penalties(views: Sequence[PenaltyView]) -> str:
    """Say which penalty each LASSO used by which rule, and how many features it and the other penalties leave."""
    lines = []
    for view in views:
        left = {name: counted(n, "feature") if n else "**no feature**" for name, n in view.kept.items()}
        (name, used), *others = view.chosen.items()
        more = "".join(f"; {other} would be {number(value)} and leave {left[other]}" for other, value in others)
        model = {"cox": "Cox", "binomial": "logistic"}[view.kind]
        lines.append(f"**{view.signature}** ({model} LASSO): λ = {number(used)} is used, by {view.rule}; it leaves "
                     f"{left[name]}{more}.")  # fmt: skip
    return "\n\n".join(lines) or "None of the signatures shown here uses a LASSO."


def correlated(pairs: pd.DataFrame, chosen: pd.DataFrame, name: str) -> str:
    """Say how related the features of a signature are, and which of them are looked at."""
    if pairs.empty:
        return f"**{name}** uses fewer than two numeric features: there is no pair to correlate."
    r, features = pairs["r"].abs(), _shown(pairs, chosen[chosen["signature"] == name])
    strong = f"{(r > 0.7).sum()} of {counted(len(pairs), 'pair')} with |r| above 0.7"
    return f"**{name}** ({features}): {strong}; the largest |r| is {fixed(float(r.max()))}."


def _shown(pairs: pd.DataFrame, own: pd.DataFrame) -> str:
    """Say how many features are in the pairs, of how many, and by which rule."""
    shown, total = pd.concat([pairs["feature_a"], pairs["feature_b"]]).nunique(), len(own)
    if shown == total:
        return f"all {counted(total, 'feature')}"
    if shown < CORRELATED or own["coefficient"].notna().any():
        rule = "the numeric ones" if shown < CORRELATED else "those with the largest coefficients"
        return f"{shown} of {total} features, {rule}"
    share = own["share"].nlargest(shown).min()
    tied, above = int((own["share"] == share).sum()), int((own["share"] > share).sum())
    lot = f", {shown - above} of them drawn by lot from {tied} that tie" * (above + tied > shown)
    return f"{shown} of {total} features, those chosen most often{lot}"


def learners(table: pd.DataFrame) -> str:
    """Say which learner inner folds choose, which one training values would, and what both do out of fold."""
    lines = []
    for source, part in table.groupby("source", sort=False):
        inner, training = (dict(part.loc[part[rule].idxmax()]) for rule in ("inner_score", "apparent"))
        honest = estimate(*(inner[f"out_of_fold{end}"] for end in ("", "_low", "_high")))
        other = (
            f"By the training value it would be **{training['learner']}**, with {fixed(training['apparent'])} on its "
            f"own patients and {fixed(training['out_of_fold'])} out of fold."
        )
        if training["learner"] == inner["learner"]:
            other = "The best training value belongs to the same learner."
        chosen = f"**{inner['learner']}** (inner folds {fixed(inner['inner_score'])}; out of fold {honest})"
        lines.append(f"- **{source_words(str(source))}**: inner cross-validation chooses {chosen}. {other}")
    return "\n".join(lines)


def variants(part: pd.DataFrame) -> str:
    """Say what one group of choices shows: the range, and how many differ from the study's choice."""
    others, low, high = part[part["variant"] != AS_CHOSEN], part["out_of_fold"].min(), part["out_of_fold"].max()
    p = others["p"].dropna().astype(float) if "p" in others else pd.Series(dtype=float)
    apart = int((p < 0.05).sum())
    head = (
        f"Group **{part['group'].iloc[0]}**: {counted(len(others), 'choice')} beside the study's own; out of fold, "
        f"with that one, from {fixed(low)} to {fixed(high)}."
    )
    if p.empty:
        return f"{head} No difference could be tested: the risks rank the patients alike, or too few are judged."
    return (
        f"{head} {apart or 'None'} of {len(p)} differ{'s' * (apart < 2)} "
        f"from the study's choice at P < 0.05 before adjustment (about {0.05 * len(p):.1f} would by chance)."
        f"{f' {_apart(part)}' * bool(apart)}"
    )


def centers(differing: pd.DataFrame, harmonised: pd.DataFrame, train: Sequence[str]) -> str:
    """Say what the comparison with and without ComBat shows, and what ComBat does with a center it does not know.

    Without a comparison say why there is none; `train` are the training centers.
    """
    if harmonised.empty and len(train) == 1:
        return (
            f"All training patients come from {center_words(train[0])}: ComBat has no second center to compare it "
            "with, and this study has no other center whose patients could be divided anew with the same features."
        )
    if harmonised.empty:
        return "This study does not compare harmonised features with others."
    known, refused = harmonised[harmonised["difference"].notna()], differing[differing["refused"] != ""]
    found, unseen = "No difference can be estimated.", "No division here leaves a center unseen."
    if len(known):
        row = dict(known.loc[known["difference"].abs().idxmax()])
        found = (
            f"The largest difference is {fixed(row['difference'], 3)} ({row['center']}, {row['judged']}, "
            f"{p_value(row['p'], name='P')}); {(known['p'] < 0.05).sum()} of {len(known)} have P < 0.05 before "
            "adjustment."
        )
    if len(refused):
        row = dict(refused.iloc[0])
        unseen = (
            f"Tried here: asked to adjust the patients of {row['refused']} after a fit on {row['built_on']}, ComBat "
            "refuses, as it should. The table above leaves their features as they are."
        )
    return f"{found}\n\n{unseen}"


def learning_curve(table: pd.DataFrame) -> str:
    """Say for each signature how its value changes from the fewest to the most training patients.

    With fewer than `FEW` draws per size a rise can not be told from the luck of one draw.
    """
    lines = []
    for (name, judged), part in table.groupby(["signature", "judged"], sort=False):
        (few, low), (many, high) = part.sort_values("n")[["n", "value"]].iloc[[0, -1]].to_numpy()
        ends = f"{fixed(low)} with {few:.0f} training patients, {fixed(high)} with {many:.0f}"
        lines.append(f"- **{name}**, {judged}: {ends}")
    if lines and table["draws"].max() < FEW:
        few = (
            f"With {counted(int(table['draws'].max()), 'draw')} per size these values do not tell whether more patients"
        )
        lines += ["", f"{few} would help: another draw of the same size may differ by as much."]
    for lost in table.attrs.get("lost", []):
        who = f"A draw of {lost['share']:.0%} of the patients gave no **{lost['signature']}**"
        lines += ["", f"{who}: {lost['reason']}"]
    return "\n".join(lines)


def control(summary: pd.DataFrame, names: Mapping[str, str] | None = None, table: pd.DataFrame | None = None) -> str:
    """Say what was found where there is nothing to find; of fewer than `LEAST_DRAWS` draws only what they gave.

    Parameters
    ----------
    summary : DataFrame
        What `evaluate.controls.over_draws` returns: permuted runs (with observed), or outcomes drawn without effect.
    names : mapping, optional
        The cohorts' names in words.
    table : DataFrame, optional
        `evaluate.cross_validation`, whose tests against chance permuted runs may contradict.
    """
    if summary.empty:
        return "No control was run."
    draws, permuted = int(summary["draws"].max()), "observed" in summary
    if draws < LEAST_DRAWS:
        low, high = summary["lowest"].min(), summary["highest"].max()
        of = (
            f"{counted(draws, 'run')} with permuted outcomes"
            if permuted
            else f"{counted(draws, 'draw')} of the outcomes"
        )
        whose = listed(list(dict.fromkeys(summary["signature"])))
        return (
            f"{of} of {whose} gave values from {fixed(low)} to {fixed(high)}: "
            f"too few for a verdict, which takes {LEAST_DRAWS}."
        )
    if permuted:
        told = [_permuted(row, draws) for row in summary.to_dict("records")]
        return "\n\n".join(filter(None, [*told, "" if table is None else disagreement(summary, table)]))
    n, covering = int(summary["intervals"].sum()), int(summary["covering"].sum())
    single = f"{covering} of {counted(n, 'interval')} from single draws hold 0.5, of which 95% should."
    return f"{_joint(summary.replace({'cohort': names or {}}), draws)} {single}"


def _permuted(row: Mapping[Any, Any], n: int) -> str:
    """Say what permuted runs gave, whether their mean lies above 0.5, and how small a leak they can not show."""
    low, high, runs = row["mean_low"], row["mean_high"], counted(n, "run")
    leak = f"The 95% interval of the mean (t) reaches from {fixed(low)} to {fixed(high)}: "
    if low > 0.5:
        leak += "**it lies above 0.5, where a leak puts it**."
    else:
        leak += (
            "it does not lie above 0.5, where a leak would put it."
            f"{' It lies below 0.5, which is no leak.' * bool(high < 0.5)} With this scatter any mean up to "
            f"{fixed(0.5 + (high - low) / 2)} (0.5 plus half the width of the interval) would pass: a smaller leak is "
            "not seen here."
        )
    return (
        f"{runs} of **{row['signature']}** with permuted outcomes gave a mean of {fixed(row['mean'])} (single runs "
        f"from {fixed(row['lowest'])} to {fixed(row['highest'])}). {leak} With the true outcomes it was "
        f"{_over_divisions(row)}; the share of runs that reach it, counting the true one, is P = {fixed(row['p'])} "
        f"(permutation test; with {runs} it can not be smaller than 1/{n + 1} = {fixed(1 / (1 + n))})."
    )


def _over_divisions(row: Mapping[Any, Any]) -> str:
    """Word the value with the true outcomes and over how many divisions into folds it is a mean."""
    n = row.get("divisions", 1)
    if n == 1:
        return f"{fixed(row['observed'])} by one division into folds, which may be a lucky or an unlucky one"
    spread = f"{fixed(row['observed_low'])} to {fixed(row['observed_high'])}"
    return f"{fixed(row['observed'])} on average over {n} divisions into folds ({spread}; each run has one)"


def _joint(summary: pd.DataFrame, draws: int) -> str:
    """Say which means over draws differ from 0.5, and how large a difference would have been seen at all."""
    known = summary[summary["mean_low"].notna()]
    n, away, p = len(known), (known["mean_low"] > 0.5) | (known["mean_high"] < 0.5), len(known) * known["p_t"]
    rows = known["signature"] + " (" + known["cohort"] + ", " + known["mean"].map(fixed) + ")"
    above, below = (rows[(p < 0.05) & side].tolist() for side in (known["mean"] > 0.5, known["mean"] < 0.5))
    verdict = (
        f"**{listed(above)} above 0.5, where a leak would put it**"
        if above
        else ("no mean is significantly above 0.5, where a leak would put it")
    )
    verdict += f"; below 0.5: {listed(below)}" * bool(below)
    half = fixed(float(((known["mean_high"] - known["mean_low"]) / 2).median()))
    return (
        f"Over {draws} independent draws of the outcomes, {n - away.sum()} of {counted(n, 'mean')} have a 95% interval "
        f"that holds 0.5{f' ({listed(rows[away].tolist())} not)' * bool(away.any())}; by chance {0.05 * n:.1f} would "
        f"not. Adjusted for their number (Bonferroni), the smallest P against 0.5 is "
        f"{p_number(min(1.0, float(p.min())))}: {verdict}. Half of the intervals reach "
        f"{half} or more to either side: {draws} draws can not show a bias that is smaller."
    )


def card(model: Model, validated: pd.DataFrame | None = None) -> str:
    """Say what a locked model is, what it was worth where it was fitted (if known), what it lacks, how it is used."""
    rows = validated.to_dict("records") if validated is not None else []
    about, values = model.about, {row["signature"]: row for row in rows}
    measure = "AUC" if tuple(model.outcome) == ("label",) else "C-index"
    kind = "synthetic patients, made by a program" if about.get("synthetic") else "real patients"
    lines = [f"**Model of study {about.get('id', '')}**: {about.get('title', '')}. Fitted to {kind}."]
    for name, one in model.signatures.items():
        value, low, high = (
            float(values.get(name, {}).get(f"out_of_fold{end}", "nan")) for end in ("", "_low", "_high")
        )
        found = f"{measure} {estimate(value, low, high)} out of fold" if value == value else "no value out of fold"
        found = f"; {found}" * (validated is not None)
        cuts = [fixed(cut, 3) for cut in (one.threshold, one.group_threshold) if cut is not None]
        several = f"mean of {len(one.members)} models" if len(one.members) > 1 else "one model"
        columns = counted(len(one.ranges), "column")
        cut = f", threshold {' and '.join(dict.fromkeys(cuts))}" if cuts else ""
        lines.append(f"- {name}: {several} of {columns}, {one.n} patients, {one.events} events{found}{cut}.")
    lines += [f"- {name} is not among them: {reason}." for name, reason in model.left_out.items()]
    if model.learners:
        lines.append(CARD_LEARNERS)
    licence = about.get("licence") or "none given"
    digest = str(about.get("settings_sha256", ""))[:12]
    lines.append(f"\nLicence of the data: {licence}. Settings {digest}, profile {about.get('profile', '')}. {CARD_USE}")
    return "\n".join(lines)


def locked(
    model: Model, sizes: pd.DataFrame, why: pd.DataFrame, ranges: pd.DataFrame, names: Mapping[str, str]
) -> list[str]:
    """Say line by line which model is validated, whom it scores, whom not and why, and what lies outside training.

    Parameters
    ----------
    model : Model
    sizes : DataFrame
        cohort, signature, n, scored.
    why : DataFrame
        cohort, signature, reason, n of those who are not scored.
    ranges : DataFrame
        cohort, column, outside (share of values), of every signature.
    names : mapping of cohort to name
    """
    about, most = model.about, sizes.groupby("cohort", sort=False)["n"].max()
    known = [one for one in model.signatures.values() if one.n]
    fitted = f", fitted on {max(one.n for one in known)} patients" if known else ""
    people = listed([f"{n} patients of {names[str(key)]}" for key, n in most.items()])
    lines = [
        f"A locked model is validated, nothing is fitted: {about.get('id') or about.get('title') or 'without a name'} "
        f"({counted(len(model.signatures), 'signature')}{fitted}), applied to {people}."
    ]
    own = why.assign(where=[f"{row['n']} in {names[row['cohort']]}" for row in why.to_dict("records")])
    own = own.groupby(["signature", "reason"], sort=False)["where"].agg(listed).reset_index()
    for (where, reason), part in own.groupby(["where", "reason"], sort=False):
        lines.append(f"{listed([f'**{name}**' for name in part['signature']], 8)}: {where} not scored: {reason}.")
    if why.empty:
        lines.append("Every signature scores everybody.")
    if len(ranges):
        odd = ranges.loc[ranges["outside"].idxmax()]
        share_of = f"{share(float(odd['outside']))} of the values of {readable(str(odd['column']))}"
        far = f"Most outside the training range: {share_of} in {names[str(odd['cohort'])]}."
        lines.append(far if odd["outside"] else "No value lies outside the training range.")
    untold = [name for name, one in model.signatures.items() if one.probability is None]
    if untold:
        lines.append(f"The file has no translation into probabilities of {listed(untold)}: ranks only, no calibration.")
    return lines


CARD_LEARNERS = (
    "- Machines and kernels keep standardised values of the training patients in `learners.skops`: who may not pass on "
    "the data may not pass on this file."
)
CARD_USE = (
    "For research; not for decisions about patients. New patients: `radsupport apply`. A value outside the training "
    "range is said for each patient, and the risk then rests on nothing that was seen."
)
