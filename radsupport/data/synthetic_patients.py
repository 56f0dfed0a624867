"""Draw the patients of a synthetic cohort: latent aggressiveness, outcome, clinical variables.

The latent z ~ N(0, 1) decides how a tumour looks (`synthetic_scans`). The outcome depends on
``effect * z`` and on nothing else in the image, so that an effect of 0 leaves images that carry no
information. Columns follow the published marginals: within the event and the event-free patients at an
effect of 1 or more, pooled over both at an effect of 0, and between the two otherwise. Where only survival is
drawn, columns come first and act on the hazard.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.errors import StudyError
from radsupport.settings.parts import Survival
from radsupport.settings.synthetic import Marginal, Synthetic, SyntheticCenter

Generator = np.random.Generator


def draw_subjects(spec: Synthetic, seed: int) -> pd.DataFrame:
    """Return one row per synthetic patient.

    Parameters
    ----------
    spec : Synthetic
        The study's ``synthetic:`` section.
    seed : int

    Returns
    -------
    pandas.DataFrame
        subject, center, latent (SD units), label, time (months), event, diameter_mm (wanted largest
        axial diameter), core (0 none, 1 in the middle, 2 all but a wall), calcification (0, 1), and one column per
        marginal (0 for one that reads the tissue, which is not drawn yet), and split (the cohort, where a center
        has a fixed one, else ""). Centers without follow-up (``events: -1``) have an empty outcome.
    """
    rng = np.random.default_rng([seed, 1])
    frames = [_draw_center(spec, name, center, rng) for name, center in spec.centers.items()]
    return pd.concat(frames, ignore_index=True)


def status_codes(subjects: pd.DataFrame, spec: Synthetic, survival: Survival, seed: int) -> pd.Series:
    """Return the event of each patient as the clinical sheet writes it, with competing events where the study has them.

    Censored patients, at random and whatever their tumour, died of something else at the time their follow-up ended
    anyway: times and events are those of the same study without competing events. The draw has its own seed.

    Parameters
    ----------
    subjects : DataFrame
        As `draw_subjects` returns it.
    spec : Synthetic
    survival : Survival
        Its first competing code is written.
    seed : int
        The study's.
    """
    event = subjects["event"].astype(object)
    censored = subjects.index[subjects["event"] == 0]
    n = round(spec.competing_share * len(censored))
    drawn = np.random.default_rng([seed, 4]).choice(censored, n, replace=False)
    event[drawn] = survival.competing_values[0] if n else 0
    return event


def without_effect(spec: Synthetic) -> Synthetic:
    """Return a generator that plants nothing: neither the latent nor a column acts on the outcome."""
    silent = {"log_hazard": {}, "log_hazard_per_sd": 0.0}
    marginals = {name: marginal.model_copy(update=silent) for name, marginal in spec.marginals.items()}
    return spec.model_copy(update={"effect": 0.0, "survival_effect": 0.0, "marginals": marginals})


def outcomes_without_effect(spec: Synthetic | None, seed: int, draw: int) -> pd.DataFrame:
    """Return the patients of a synthetic study, indexed by subject, with outcomes drawn anew at an effect of 0.

    Each center keeps its number of events. The outcomes come from another seed than the study's, one for each `draw`
    (0, 1, ...), so they share nothing with the drawn tumours.

    Raises
    ------
    StudyError
        The study has no generator.
    """
    if spec is None:
        raise StudyError("This study is not synthetic: its outcomes can not be drawn anew.")
    return draw_subjects(without_effect(spec), seed + 7919 * (draw + 1)).set_index("subject")


def _fixed_split(label: np.ndarray, center: SyntheticCenter, rng: Generator) -> np.ndarray:
    """Return each patient's cohort by the center's fixed sizes, and by its numbers of events where they are given."""
    split = np.full(label.size, "", dtype=object)
    parts = list(center.split.items())
    by_event = any(part.events is not None for _, part in parts)
    for value in (0, 1) if by_event else (None,):
        rows = rng.permutation(np.arange(label.size) if value is None else np.flatnonzero(label == value))
        for name, part in parts:
            events = part.events or 0
            n = part.n if value is None else events if value == 1 else part.n - events
            split[rows[:n]], rows = name, rows[n:]
    return split


def _draw_center(spec: Synthetic, name: str, center: SyntheticCenter, rng: Generator) -> pd.DataFrame:
    table = pd.DataFrame({"subject": [f"{name}_{i + 1:03d}" for i in range(center.n)], "center": name})
    table["latent"] = rng.standard_normal(center.n)
    table["diameter_mm"] = _diameters(spec, table["latent"].to_numpy(), rng)
    table["core"], table["calcification"] = 0, 0
    by_label = spec.outcome == "label" or center.events < 0
    if by_label:
        table["label"] = _label(spec.effect * table["latent"].to_numpy(), max(center.events, 0), rng)
    group = table["label"].to_numpy() if by_label else np.zeros(center.n, dtype=int)
    table["split"] = _fixed_split(group, center, rng)
    # columns that read the tumour come after those that shape it
    for column, marginal in sorted(spec.marginals.items(), key=lambda item: item[1].reads_diameter):
        _add_column(table, column, marginal, group, spec, rng)
    table["time"], table["event"] = _follow_up(spec, table, rng) if by_label else _hazard_times(spec, table, rng)
    if not by_label:
        table["label"] = ((table["event"] == 1) & (table["time"] <= spec.label_horizon_months)).astype(int)
    if center.events < 0:
        table[["label", "time", "event"]] = np.nan
    for column, n_missing in center.missing.items():
        table.loc[rng.choice(center.n, n_missing, replace=False), column] = None
    return table


def _label(linear_predictor: np.ndarray, n_events: int, rng: Generator) -> np.ndarray:
    """Give exactly `n_events` patients the event, by a logistic model.

    The logistic model is written as a threshold on linear predictor + logistic noise; the threshold
    is put where the published number of events lies above it.
    """
    propensity = linear_predictor + rng.logistic(size=linear_predictor.size)
    label = np.zeros(linear_predictor.size, dtype=int)
    label[np.argsort(propensity)[::-1][:n_events]] = 1
    return label


def _follow_up(spec: Synthetic, table: pd.DataFrame, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return months of follow-up and events that agree with the label, or follow the hazard alone."""
    if spec.survival_from == "hazard":
        return _hazard_times(spec, table, rng)
    shortest, longest = spec.follow_up_months
    n, label = len(table), table["label"].to_numpy()
    horizon = spec.label_horizon_months
    # within the horizon the latent only hastens the event a little: events spread over the years, as in the papers
    rate = np.exp(0.2 * spec.effect * table["latent"].to_numpy()) / horizon
    until_horizon = -np.log1p(-rng.uniform(size=n) * -np.expm1(-rate * (horizon - 1))) / rate + 1
    censored = rng.uniform(shortest, longest, size=n)
    late = (label == 0) & (censored > horizon) & (rng.uniform(size=n) < spec.late_event_share)
    later = np.where(late, rng.uniform(np.minimum(horizon, censored), censored), censored)
    return np.round(np.where(label == 1, until_horizon, later), 2), np.where(late, 1, label)


def _hazard_times(spec: Synthetic, table: pd.DataFrame, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Exponential times with log-hazard `effect` per SD of the latent plus that of the columns, censored uniformly."""
    per_sd = spec.effect if spec.survival_effect is None else spec.survival_effect
    log_hazard = per_sd * table["latent"].to_numpy()
    for column, marginal in spec.marginals.items():
        if marginal.log_hazard:
            log_hazard = log_hazard + table[column].map(marginal.log_hazard).fillna(0.0).to_numpy(dtype=float)
        if marginal.log_hazard_per_sd and marginal.mean and marginal.sd:
            standardised = (table[column].to_numpy(dtype=float) - np.mean(marginal.mean)) / np.mean(marginal.sd)
            log_hazard = log_hazard + marginal.log_hazard_per_sd * standardised
    rate = np.log(2) / spec.median_survival_months * np.exp(log_hazard)
    event_time = rng.exponential(1 / rate)
    censored = rng.uniform(*spec.follow_up_months, size=len(table))
    time = np.maximum(np.round(np.minimum(event_time, censored), 2), 0.1)
    return time, (event_time <= censored).astype(int)


def _diameters(spec: Synthetic, latent: np.ndarray, rng: Generator) -> np.ndarray:
    """Log-normal diameters (mm), a little larger with the latent, within the anatomy's range."""
    low, high = spec.anatomy.diameter_mm
    middle = np.sqrt(low * high)
    spread = np.log(high / low) / 5
    return np.clip(middle * np.exp(spread * (0.5 * latent + 0.9 * rng.standard_normal(latent.size))), low, high)


def _add_column(
    table: pd.DataFrame, column: str, marginal: Marginal, group: np.ndarray, spec: Synthetic, rng: Generator
) -> None:
    weight = min(abs(spec.effect), 1.0)
    if marginal.reads_tissue:
        table[column] = 0.0
        return
    if marginal.reads_diameter:
        read = table["diameter_mm"] + rng.standard_normal(len(table))
        table[column] = np.round(_within_read_class(read.to_numpy(), table, spec), 1)
        return
    categories = bool(marginal.counts or marginal.center_counts)
    draw = _draw_levels if categories else _draw_numbers
    values = pd.Series(index=table.index, dtype=object)
    for split, rows in table.groupby("split").groups.items():
        place = str(table["center"].iloc[0])
        place = f"{place}/{split}" if split else place
        if categories and not (marginal.counts or _own(marginal.center_counts, place)):
            raise StudyError(f"The column {column} has no counts for {place}; add them to `synthetic.marginals`.")
        values[rows] = draw(marginal, place, group[rows], weight, rng)
    table[column] = values.infer_objects()
    levels = list(marginal.counts) or list(next(iter(marginal.center_counts.values()), {}))
    if marginal.shapes == "size_mm":
        table["diameter_mm"] = _within_class(table[column], levels, marginal.edges, table["diameter_mm"], rng)
    elif marginal.shapes:
        table[marginal.shapes] = (len(levels) - 1 - table[column].map(levels.index)).to_numpy()


def _own(published: dict[str, Any], place: str) -> Any:
    """Return what is published for a place, center/cohort before center; None where nothing is."""
    return published.get(place, published.get(place.split("/")[0]))


def _draw_levels(marginal: Marginal, place: str, group: np.ndarray, weight: float, rng: Generator) -> np.ndarray:
    """Return levels in the published proportions of each group, in random order.

    A center (or cohort of it) with counts of its own gets them; where the counts by outcome are published too, their
    odds ratios between the groups are kept (iterative proportional fitting).
    """
    own = _own(marginal.center_counts, place)
    names = list(own or marginal.counts)
    counts = np.array([marginal.counts.get(name, (1.0, 1.0)) for name in names], dtype=float)
    sizes = np.array([(group == value).sum() for value in (0, 1)])
    if own:
        counts = _fit(counts, np.array([own[name] for name in names], dtype=float), sizes)
    pooled = counts.sum(axis=1) / counts.sum()
    shares = [counts[:, value] / max(counts[:, value].sum(), 1e-12) for value in (0, 1)]
    events, free = (_whole((weight * shares[v] + (1 - weight) * pooled) * sizes[v], sizes[v]) for v in (1, 0))
    if own and sum(own.values()) == group.size:
        left = np.array([own[name] for name in names]) - events
        free = left.astype(int) if (left >= 0).all() else free
    drawn = np.empty(group.size, dtype=object)
    for value, whole in ((0, free), (1, events)):
        drawn[group == value] = rng.permutation(np.repeat(names, whole))
    return drawn


def _fit(counts: np.ndarray, totals: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Scale a table (levels x groups) to the totals of its levels and the sizes of its groups, odds ratios kept."""
    table, sizes = counts.copy(), np.maximum(sizes, 1e-9)
    for _ in range(200):
        rows = table.sum(axis=1, keepdims=True)
        table *= np.divide(totals[:, None], rows, out=np.zeros_like(rows), where=rows > 0)
        table *= sizes / np.maximum(table.sum(axis=0), 1e-12) * totals.sum() / sizes.sum()
    return table


def _whole(exact: np.ndarray, n: int) -> np.ndarray:
    """Round numbers to whole ones that sum to n (largest remainders)."""
    exact = exact / max(exact.sum(), 1e-12) * n
    whole = np.floor(exact + 1e-9).astype(int)
    order = np.argsort(exact - whole)[::-1]
    whole[order[: n - whole.sum()]] += 1
    return whole


def _draw_numbers(marginal: Marginal, place: str, group: np.ndarray, weight: float, rng: Generator) -> np.ndarray:
    """Return normal quantiles with the published mean and SD of each group, in random order, within the limits."""
    own = _own(marginal.center_mean_sd, place)
    mean, sd = (np.array([own[i]] * 2) for i in (0, 1)) if own else (np.array(marginal.mean), np.array(marginal.sd))
    values = np.empty(group.size)
    for value in (0, 1):
        rows = np.flatnonzero(group == value)
        spread = stats.norm.ppf((np.arange(rows.size) + 0.5) / max(rows.size, 1))
        centre = weight * mean[value] + (1 - weight) * mean.mean()
        values[rows] = rng.permutation(centre + sd[value] * spread)
    return np.round(np.clip(values, *marginal.limits), 2)


def _within_read_class(read: np.ndarray, table: pd.DataFrame, spec: Synthetic) -> np.ndarray:
    """Keep a reader's diameter (mm) in the size class of the same reader: 0.1 mm off the border at the least.

    The class, whose counts are published, is drawn first and shapes the tumour; an error of reading alone must not
    contradict it. The outer edges of the classes are no borders: beyond them there is no other class.
    """
    kept = read.copy()
    for name, marginal in spec.marginals.items():
        if marginal.shapes != "size_mm":
            continue
        levels = list(marginal.counts) or list(next(iter(marginal.center_counts.values()), {}))
        lows, highs = [-np.inf, *marginal.edges[1:-1]], [*marginal.edges[1:-1], np.inf]
        for level, low, high in zip(levels, lows, highs, strict=True):
            rows = (table[name] == level).to_numpy()
            kept[rows] = np.clip(kept[rows], low + 0.1, high - 0.1)
    return kept


def _within_class(
    values: pd.Series, levels: list[str], edges: list[float], diameters: pd.Series, rng: Generator
) -> np.ndarray:
    """Move each diameter into the class drawn for it, keeping its order within the class."""
    moved = diameters.to_numpy(dtype=float).copy()
    for level, low, high in zip(levels, edges[:-1], edges[1:], strict=True):
        rows = np.flatnonzero(values.to_numpy() == level)
        ranks = np.argsort(np.argsort(moved[rows]))
        moved[rows] = low + (high - low) * (ranks + rng.uniform(0.2, 0.8, rows.size)) / max(rows.size, 1)
    return moved
