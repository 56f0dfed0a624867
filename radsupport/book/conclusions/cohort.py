"""What chapter 01 says of its data: what is predicted, what follow-up means for it, who has every value."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from radsupport.settings.parts import Column, Endpoint, Label
from radsupport.wording import counted, happened, listed, number, share

_DIRECTIONS = {
    "odds ratio": "Odds ratios are those of a variable's second level against its first, in “{second}” against "
    "“{first}”: above 1, the second level is more frequent in “{second}”. They are conditional maximum-likelihood "
    "estimates, as Fisher's test has them, and differ a little from the ratio of the counts.",
    "t": "t is taken of “{first}” minus “{second}”: it is positive where the mean of “{first}” is larger.",
    "U": "U counts the pairs of one patient of each group in which the one of “{first}” has the larger value "
    "(ties as one half).",
}
_SHARED = 5  # patients with one value, and times the next most frequent, from which it looks filled in
_OF_TIMES = {"log-rank test", "Cox regression, likelihood-ratio test"}


def endpoint(found: Endpoint) -> str:
    """Say what the study predicts, and what else it follows."""
    label, survival = found.label, found.survival
    words = [f"{label.name} (yes: {label.positive}; no: {label.negative})"] if label is not None else []
    words += [f"{survival.name} (months)"] if survival is not None else []
    return "; also ".join(words if found.primary == "label" else words[::-1])


def sizes(summary: pd.DataFrame, names: Mapping[str, str], event: str) -> str:
    """Say how many patients each cohort has and how many of them the event (cohort by key, n, events).

    Patients who are in the study for their images only have no events to count.
    """
    known = summary.assign(events=["–" if pd.isna(n) else f"{n:.0f}" for n in summary["events"]]).to_dict("records")
    rows = [f"{names.get(row['cohort'], row['cohort'])} {row['n']} ({row['events']})" for row in known]
    return f"Patients ({happened(2, event).removeprefix('2 ')}): {listed(rows, 12)}."


def burden(candidates: pd.DataFrame) -> str:
    """Say how many signatures have too few events or patients for what they may choose among (`data`'s table)."""
    fitted = candidates.dropna(subset=["events"])
    if fitted.empty:
        return ""
    few = fitted.loc[~(fitted["per_parameter"] >= candidates.attrs["enough"]), "signature"].tolist()
    rule = f"fewer than {candidates.attrs['enough']:g} training events per candidate"
    verb = "has" if len(few) == 1 else "have"
    words = f"Of {counted(len(fitted), 'fitted signature')}, {len(few)} {verb} {rule}: {listed(few)}."
    return words + _too_small(fitted.dropna(subset=["required"]))


def _too_small(fitted: pd.DataFrame) -> str:
    """Say for how many signatures Riley's criteria ask for more patients than there are, and where by most."""
    short = fitted[fitted["n"] < fitted["required"]]
    if short.empty:
        return " Each has the patients that Riley's criteria ask for." * (not fitted.empty)
    worst = short.loc[(short["n"] / short["required"]).idxmin()]
    own = f"{worst['signature']} has {worst['n']:.0f} of the {worst['required']:.0f} needed"
    return f" Riley's criteria ask for more patients than there are for {len(short)} of {len(fitted)}: {own}."


def differing(by_cohort: pd.DataFrame, by_outcome: pd.DataFrame) -> str:
    """Say how many characteristics differ between cohorts, and between the outcomes, beside what chance gives."""
    words = []
    for what, table in (("cohorts", by_cohort), ("outcomes", by_outcome)):
        known = pd.Series(table.attrs.get("p", {}), dtype=float).dropna()
        if len(known):
            words.append(f"{(known < 0.05).sum()} of {len(known)} between the {what}")
    return f"Characteristics that differ at P < 0.05, of which chance gives one in twenty: {', '.join(words)}." * bool(
        words
    )


def split(column: str, drawn: bool, seed: int) -> str:
    """Say how a center that serves several cohorts was divided: by a column, drawn at random, or not at all."""
    if column:
        return f"The split of a center is fixed: column {column!r} of the clinical table."
    if drawn:
        return f"A center that serves two cohorts was divided at random (seed {seed}), stratified by the outcome."
    return "Each center belongs to one cohort."


def competing(cohort: pd.DataFrame, found: Endpoint) -> str:
    """Say how many patients a competing event ended the follow-up of, and how the pages take them; empty without.

    Parameters
    ----------
    cohort : pandas.DataFrame
        event and competing of the patients with an outcome.
    found : Endpoint
    """
    if found.survival is None or "competing" not in cohort:
        return ""
    censored = cohort[cohort["event"] == 0]
    n, event = int(censored["competing"].sum()), found.survival.event_name
    return (
        f"The follow-up of {n} of the {counted(len(censored), 'patient')} without {event} ended by "
        f"{found.survival.competing_name}, after which {event} can not come any more. Hazards, and all pages but the "
        "incidence in chapter 07, take these patients as censored then."
    )


def follow_up(cohort: pd.DataFrame, found: Endpoint) -> str:
    """Say what the end of follow-up means for the primary endpoint.

    A time to an event is censored there; a label with a horizon may have been given too early, and is counted; of a
    label without one the study file does not say whether it is looked for during follow-up or known from the start.

    Parameters
    ----------
    cohort : pandas.DataFrame
        label, time (months), event of the patients with an outcome.
    found : Endpoint
    """
    label, survival = found.label, found.survival
    if survival is None:
        return "This study has no follow-up times, only a yes/no outcome."
    if found.primary == "survival" or label is None:
        known = cohort.dropna(subset=["time", "event"])
        return (
            f"The endpoint is a time. {int((known['event'] == 0).sum())} of {counted(len(known), 'patient')} left "
            f"observation without the event ({survival.event_name}): they are censored then, and do not count as free "
            "of it for good."
        )
    free = cohort.loc[cohort["label"] == 0, "time"].dropna()
    if label.horizon_months is None:
        other = f"{survival.name}: the time to {survival.event_name} or to the end of observation."
        return f"{_open_label(free, label)} The figure shows another outcome, {other}"
    return (
        f"{int((free < label.horizon_months).sum())} of {len(free)} patients labelled “{label.negative}” were followed "
        f"for less than {label.horizon_months:g} months: they count as free of the event in chapters 05 and 06, and as "
        "censored in chapter 07."
    )


def _open_label(free: pd.Series, label: Label) -> str:
    """Say what follow-up means for a label that the study file ties to no time."""
    if label.known == "at_once":
        return f"The outcome “{label.name}” is known at once: the length of follow-up does not touch it."
    span = f"were followed for {free.min():.0f} to {free.max():.0f} months" if len(free) else "have no follow-up times"
    later = (
        f"“{label.negative}” also means “not yet”: the {counted(len(free), 'patient')} labelled so {span}, and "
        "chapters 05 and 06 count all of them as free of it."
    )
    if label.known == "during_follow_up":
        return f"The outcome “{label.name}” is looked for during follow-up, so {later}"
    return (
        f"The study file does not say when the outcome “{label.name}” is known. If it is looked for during follow-up, "
        f"{later} If it is known at once, like a finding at surgery, the length of follow-up does not touch it."
    )


def complete(cohort: pd.DataFrame, columns: Mapping[str, Column]) -> str:
    """Say how many patients have a value of every variable, and where values look filled in (`shared_values`)."""
    if not columns:
        return "There are no variables that could be missing."
    n = int(cohort[list(columns)].notna().all(axis=1).sum())
    text = f"{n} of {len(cohort)} patients have a value in each of the {len(columns)} variables."
    return "\n\n".join(filter(None, [text, shared_values(cohort, columns)]))


def shared_values(cohort: pd.DataFrame, columns: Mapping[str, Column], only: Sequence[str] | None = None) -> str:
    """Name the numbers of which one value looks filled in: one within the range that far more patients have than any.

    Parameters
    ----------
    cohort : pandas.DataFrame
    columns : mapping of column to Column
    only : sequence of str, optional
        The columns that a model takes; by default all numbers.
    """
    words = []
    for key in columns if only is None else only:
        values = cohort[key].dropna() if key in columns and columns[key].kind == "number" else pd.Series(dtype=float)
        counts = values.value_counts()
        if len(counts) < 2 or not counts.iloc[0] >= max(_SHARED, _SHARED * counts.iloc[1]):
            continue
        value, n = counts.index[0], counts.iloc[0]
        if values.min() < value < values.max():  # a limit of what is measured, or of the range, is no filling
            same = f"{columns[key].label} {number(value)} {columns[key].unit}".strip()
            words.append(f"{n} of {len(values)} patients ({share(n / len(values))}) have the same {same}")
            words[-1] += f" (no other value has more than {counts.iloc[1]})"
    if not words:
        return ""
    return (
        f"**As if filled in.** {'; '.join(words)}: most likely it was put where the value was missing. It counts as "
        "measured here, so that what rests on it is less certain than its interval says."
    )


def nothing_to_compare(cohort: pd.DataFrame, columns: Sequence[str]) -> str:
    """Say why the cohorts can not be set side by side: no variables, one cohort, or both."""
    reasons = [] if columns else ["has no clinical variables or CT findings"]
    reasons += ["has one cohort"] if cohort["cohort"].nunique() < 2 else []
    return f"This study {' and '.join(reasons)}: there is nothing to compare."


def directions(printed: pd.DataFrame) -> str:
    """Say which way the statistics of a baseline table point: which group against which, which level against which.

    Parameters
    ----------
    printed : pandas.DataFrame
        As `radsupport.book.printed.printed_baseline` returns it.

    Returns
    -------
    str
        Sentences for the statistics with a direction that the table shows, and for tests of a time to an event; one
        sentence where none has a direction.
    """
    if printed.empty:
        return ""
    groups = [found[1] for name in printed.columns if (found := re.fullmatch(r"(.*) \(n = \d+\)", str(name)))]
    used = {str(text).partition(" = ")[0] for text in printed["Statistic"]}
    shown = {"first": groups[0], "second": groups[-1]}
    words = [text.format(**shown) for symbol, text in _DIRECTIONS.items() if symbol in used]
    if set(printed["Test"]) & _OF_TIMES:
        words.append(
            "The log-rank test (categories) and Cox regression with one variable (numbers) compare the times to the "
            "event, with censoring: follow-up counts. The two columns only show in whom the event was seen."
        )
    return " ".join(words) or "The statistics of this table have no direction: they say how much the groups differ."
