"""Chapter 09 in words: whether a signature is better than size and the clinic, and whether it survives its controls."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from radsupport.checks import cohorts_in_order
from radsupport.wording import counted, estimate, listed, p_value, tick

Row = Mapping[Any, Any]


def compared(others: Sequence[str], lacking: Sequence[str], source: str, best: str) -> str:
    """Say with what signatures of images are compared, where the volume comes from, and what is lacking."""
    lines = [f"The signature of this page's short answer is {best}."]
    lines += [f"Signatures are set beside {listed(others)}."] if others else []
    lines += [f"The volume is that of {source}."] if source else []
    missing = "; ".join(lacking)
    lines += [f"**Not compared**: {missing}."] if missing else []
    return " ".join(lines)


def verdict(row: Row) -> str:
    """Say whether a signature is better than another one: by P and by the interval, which have to agree."""
    p, low, high = (float(row.get(key, np.nan)) for key in ("p", "difference_low", "difference_high"))
    if not np.isfinite([p, low, high]).all():
        return "not tested"
    if (p < 0.05) == (low <= 0 <= high):
        return "undecided, as P and interval disagree"
    if p < 0.05:
        return "better" if row["difference"] > 0 else "**worse**"
    return "not shown to be better or worse"


def beside(table: pd.DataFrame, best: str, names: Mapping[str, str], pooled: Collection[str] = ()) -> list[str]:
    """Word the comparisons of one signature, a line for each of the others, other cohorts than training first.

    Parameters
    ----------
    table : DataFrame
        `evaluate.comparators.beside`.
    best : str
    names : mapping of cohort to name
    pooled : collection of str
        Cohorts of several centers.
    """
    own = table[table["signature"] == best].astype({"cohort": str})
    order = [key for key in cohorts_in_order(own["cohort"]) if key != "train"] + ["train"]
    lines = []
    for other, part in own.groupby("beside", sort=False):
        rows = {row["cohort"]: row for row in part.to_dict("records")}
        words = [_one(rows[key], names, key in pooled) for key in order if key in rows]
        lines.append(f"{best} beside {other}: {'; '.join(words)}.")
    return lines


def _one(row: Row, names: Mapping[str, str], pooled: bool) -> str:
    where = f"{names[str(row['cohort'])]} (n = {row['n']}, {counted(int(row['events']), 'event')})"
    value, low, high = (float(row[f"difference{end}"]) for end in ("", "_low", "_high"))
    numbers = f"{estimate(value, low, high, 3)}, {p_value(row['p'], name='P')}{', pooled over centers' * pooled}"
    return f"{verdict(row)} in {where}, {row['measure']} difference {numbers}"


def tests(table: pd.DataFrame) -> str:
    """Count the comparisons and those below 0.05, and say how many chance alone would give."""
    tested = table.dropna(subset=["p"])
    if tested.empty:
        return ""
    small, kept = (int((tested[key].astype(float) < 0.05).sum()) for key in ("p", "p_adjusted"))
    better = int((tested["difference"][tested["p"].astype(float) < 0.05] > 0).sum())
    return (
        f"{counted(len(tested), 'comparison')} on this page: {small} with P < 0.05 ({better} in favour of the "
        f"signature), {kept} after Holm's adjustment within a cohort; {tick(0.05 * len(tested))} would be expected if "
        "nothing differed. A large P does not show that two are equal."
    )


#: What a signature does on a control image, by `on_control`.
KEEPS, FALLS, PART, UNTOLD = "keeps its value", "falls to chance", "loses a part", "not enough to tell"
_MEANS = {
    KEEPS: "what it measures is not texture but what the control leaves",
    FALLS: "what it measures is in the places of the voxels: texture",
    PART: "texture carries a part of it, what the control leaves another",
    UNTOLD: "so few patients, or so weak a signature, can not show it",
}
_LEVELS = "size, shape and the grey levels as a whole"
_LEAVES = {"shuffled": _LEVELS, "sampled": _LEVELS, "randomised": "size and shape"}


def on_control(row: Row) -> str:
    """Judge one control by intervals: of its own value against chance (0.5), and of what was lost.

    Where the true images do not predict, or less than half of what they predict is known to be kept, nothing is said.
    """
    true, low, lost_low, lost_high = (float(row[key]) for key in ("true", "value_low", "lost_low", "lost_high"))
    if not np.isfinite([true, low, lost_low, lost_high]).all() or not float(row["true_low"]) > 0.5:
        return UNTOLD
    if lost_low > 0:
        return PART if low > 0.5 else FALLS
    return KEEPS if low > 0.5 and lost_high < (true - 0.5) / 2 else UNTOLD


def on_controls(table: pd.DataFrame, names: Mapping[str, str]) -> list[str]:
    """Say per control and cohort what the signature keeps of its value without a picture, training first.

    Parameters
    ----------
    table : DataFrame
        `evaluate.controls.images`.
    names : mapping of cohort to name
    """
    return [f"{row['signature']}, {_on_control(row, names)}." for row in table.to_dict("records")]


def _on_control(row: Row, names: Mapping[str, str]) -> str:
    kind, region = str(row["control"]).split()
    found = on_control(row)
    value, true, lost, over = (
        estimate(float(row[key]), float(row[f"{key}_low"]), float(row[f"{key}_high"]), digits)
        for key, digits in (("value", 2), ("true", 2), ("lost", 3), ("over_volume", 3))
    )
    numbers = f"{row['measure']} {value} against {true} on true images, {lost} lost, {p_value(row['p'], name='P')}"
    where = f"{names[str(row['cohort'])]} (n = {row['n']}, {counted(int(row['events']), 'event')})"
    if region == "outside":
        return f"voxels outside {kind}, in {where}: {numbers}; the tumour is as it was, so nothing should be lost"
    words = f"voxels {kind} ({region}), in {where}: **{found}**, {numbers}; {_MEANS[found]}"
    words += f" ({_LEAVES[kind]})" if found in (KEEPS, PART) else ""
    if found == KEEPS and pd.notna(row["over_volume_low"]) and float(row["over_volume_low"]) <= 0:
        words += f". It is not shown to be better than volume alone ({over}): size may be all of it"
    return words


def kept_on_controls(table: pd.DataFrame) -> tuple[bool | None, str]:
    """Return whether the signature keeps its value on an image without a picture, out of fold in training, and words.

    None where it can not be told; no words where no control of the tumour was measured.
    """
    own = table[(table["cohort"] == "train") & ~table["control"].str.endswith("outside")]
    found = {one["control"]: on_control(one) for one in own.to_dict("records")}
    told = [one for one in found.values() if one != UNTOLD]
    words = "; ".join(
        f"{row['signature']}: {found[row['control']]} on voxels {row['control'].replace(' ', ' (')}): {row['measure']} "
        f"{estimate(row['value'], row['value_low'], row['value_high'])} against {row['true']:.2f} on true images"
        for row in own.to_dict("records")
    )
    return (KEEPS in told if told else None), words


def in_parts(table: pd.DataFrame, best: str, labels: Mapping[str, str], names: Mapping[str, str]) -> str:
    """Say whether a signature does alike in parts of the patients, and how many tests stand behind it.

    Parameters
    ----------
    table : DataFrame
        What `evaluate.subgroups.in_parts` returns.
    best : str
        The signature.
    labels : mapping of column to words
    names : mapping of cohort to name
    """
    divisions = table[table["column"] != ""].drop_duplicates(["cohort", "column"])
    tested = divisions.dropna(subset=["p_interaction"])
    untested = len(divisions) - len(tested)
    rest = f" {counted(untested, 'further division')} could not be tested: a part is too small." if untested else ""
    if tested.empty:
        return f"Nothing can be said of {best} in parts of the patients: no test of interaction was possible.{rest}"
    kept = tested[tested["p_adjusted"] < 0.05]
    where = [f"{labels[r['column']]} in {names[r['cohort']]} ({p_value(r['p_adjusted'], name='Holm P')})"
             for r in kept.to_dict("records")]  # fmt: skip
    small = int((tested["p_interaction"] < 0.05).sum())
    head = f"{counted(len(tested), 'test')} of interaction of {best}, {small} with P < 0.05"
    head += f" ({tick(0.05 * len(tested))} expected by chance)"
    if where:
        return (
            f"{head}; after Holm's adjustment within a cohort the risk means something else by {listed(where)}.{rest}"
        )
    return (
        f"{head}, none after Holm's adjustment within a cohort. Parts are small: that no difference is shown does not "
        f"mean that the signature does alike in all of them.{rest}"
    )


def in_short(table: pd.DataFrame, best: str, names: Mapping[str, str], lacking: Sequence[str]) -> tuple[str, str]:
    """Return the short answer and all that was found about size and the clinic, of which tests are counted last."""
    lines = beside(table, best, names)
    missing = [f"**Not compared**: {'; '.join(lacking)}."] if lacking else []
    lines = lines or ["Nothing of this study could be set beside size or the clinic."]
    return "\n".join([*lines[:2], *missing]), "\n".join(filter(None, [*lines, *missing, tests(table)]))


#: Repeats that are usual for instability (Riley & Collins 2023), and the share of repeats that moves a patient.
FEW_REPEATS, OFTEN = 200, 0.25


def developed(name: str, best: str, asked: int, learnt_per_fold: bool) -> str:
    """Say whose development is repeated, how often, and what is not repeated with it."""
    lines = [f"{best} is a given output of which nothing is fitted here; this is about {name}."] * (name != best)
    lines.append(f"The signature is {name}, developed again in {counted(asked, 'bootstrap sample')}.")
    if asked < FEW_REPEATS:
        lines.append(f"So few show the size of the instability, not its limits, for which {FEW_REPEATS} are usual.")
    if learnt_per_fold:
        lines.append("Networks were not trained again: what else they might have learnt is not in these values.")
    return " ".join(lines)


def unstable(table: pd.DataFrame, asked: int) -> str:
    """Say how far the probability of a patient moves with the patients that the signature was developed on.

    Parameters
    ----------
    table : DataFrame
        `evaluate.uncertainty.instability`.
    asked : int
        Repeats asked for.
    """
    if table.empty:
        return ""
    done, n, mape = int(table["repeats"].iloc[0]), len(table), table["mape"]
    lost = f" ({asked - done} samples had too few events to fit it to)" if done < asked else ""
    words = (
        f"In {counted(done, 'repeat')}{lost} the probability of a patient moves by {100 * mape.mean():.1f} percentage "
        f"points on average (MAPE; median {100 * mape.median():.1f}, largest {100 * mape.max():.1f}; n = {n})."
    )
    if table["changed"].isna().all():
        return f"{words} No threshold can be carried over to the repeats."
    moved = int((table["changed"] >= OFTEN).sum())
    return (
        f"{words} At the locked threshold {moved} of {n} patients change sides in a quarter of the repeats or more; on "
        f"average a patient does in {table['changed'].mean():.0%} of them (classification instability index)."
    )


def optimistic(table: pd.DataFrame, name: str) -> str:
    """Say at which agreed thresholds acting by a signature is of use, before and after its optimism is taken off.

    Parameters
    ----------
    table : DataFrame
        `evaluate.uncertainty.corrected_benefit`.
    name : str
    """
    known = table.dropna(subset=["apparent", "corrected"])
    if known.empty:
        return ""
    reference = known["treat_all"].fillna(0).clip(lower=0)
    kept = [[f"{mark:.0%}" for mark in known["threshold"][known[key] > reference]] for key in ("apparent", "corrected")]
    before, after = (f"at {listed(marks)}" if marks else "at none of them" for marks in kept)
    at = listed([f"{mark:.0%}" for mark in known["threshold"]])
    if before == after:
        return f"Of the thresholds {at}, acting by {name} beats treating all or none {before}, corrected or not."
    return (
        f"Of the thresholds {at}, acting by {name} beats treating all or none {before} on its own training patients, "
        f"and {after} once the optimism of its whole development is taken off."
    )


def steady(table: pd.DataFrame, name: str) -> str:
    """Say in one sentence how far the probability of a patient moves; nothing where nothing is developed again."""
    if table.empty:
        return ""
    samples = counted(int(table["repeats"].iloc[0]), "bootstrap sample")
    return (
        f"Developed again in {samples}, {name} moves the probability of a training patient by "
        f"{100 * table['mape'].mean():.1f} percentage points on average, and by "
        f"{100 * table['mape'].max():.1f} where it is least stable."
    )


def carried(explained: pd.DataFrame, top: Sequence[str], name: str, learnt_per_fold: bool = False) -> str:
    """Say how much of the predictions the strongest features carry, how steadily they are chosen, and how it was found.

    Parameters
    ----------
    explained : DataFrame
        `learning.explanation.explain`.
    top : sequence of str
        The strongest features, by the names of `explained`.
    name : str
    learnt_per_fold : bool
        Whether networks were trained in each fold, so that one position of theirs has another meaning in each.
    """
    if explained.empty or not top:
        return f"The models of {name} use no feature: everybody gets the same risk."
    size = explained["contribution"].abs().groupby(explained["feature"]).sum()
    first, folds = list(top[:3]), explained["fold"].nunique()
    chosen = explained.groupby("feature")["fold"].nunique()
    chosen_in = ", ".join(f"{one} in {chosen[one]} of {folds} folds" for one in first)
    how = " and ".join(dict.fromkeys(explained["explainer"]))
    return (
        f"The models of the folds use {counted(len(size[size > 0]), 'feature')} of {name} in all. The strongest, "
        f"{listed(first)}, carry {size[first].sum() / size.sum():.0%} of all contributions; they were chosen as "
        f"follows: {chosen_in}. Explained by shap's {how} explainer." + " Positions of networks mean something else in "
        "each fold." * (learnt_per_fold and any("deep" in one for one in first))
    )


_OF = {"covered_event": "with the event", "covered_none": "without"}


def covered(table: pd.DataFrame, promised: float, names: Mapping[str, str]) -> list[str]:
    """Say per cohort (and horizon) how often the sets hold what became of the patients, and how often they decide.

    Parameters
    ----------
    table : DataFrame
        `evaluate.uncertainty.coverage` by cohort.
    promised : float
        Share of each outcome's patients that the sets promise to hold.
    names : mapping of cohort to name
    """
    lines = []
    for row in table.to_dict("records"):
        where = names[str(row["cohort"])] + (f" by {row['horizon']:g} months" if "horizon" in row else "")
        where += f" (n = {row['n']}, {counted(int(row['events']), 'event')})"
        held = [f"{_held(row, key, promised)} of those {words}" for key, words in _OF.items() if pd.notna(row[key])]
        value, low, high = (float(row[f"right{end}"]) for end in ("", "_low", "_high"))
        single = f"{row['one']} sets name one outcome"
        single += f", the right one in {estimate(value, low, high)} of them" if row["one"] else ""
        lines.append(
            f"{where}: sets hold the truth of {'; '.join(held)}. {single}; {row['both']} leave both open and "
            f"{row['neither']} fit neither."
        )
    return lines


def _held(row: Row, key: str, promised: float) -> str:
    low, high = float(row[f"{key}_low"]), float(row[f"{key}_high"])
    fails = f" (**less than the {promised:.0%} promised**)" if high < promised else ""
    return f"{estimate(float(row[key]), low, high)}{fails}"


def rigorous(table: pd.DataFrame) -> str:
    """Count the rules that the run passes, and name those that it does not."""
    failed = table.loc[table["verdict"] == "failed", "rule"].tolist()
    judged = int(table["verdict"].ne("not applicable").sum())
    words = f"{judged - len(failed)} of {counted(judged, 'rule')} of rigour that could be judged are passed"
    return f"{words}{f'; not passed: {listed(failed, 12)}' * bool(failed)}."
