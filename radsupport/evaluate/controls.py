"""What a protocol finds where there is nothing to find: permuted outcomes, outcomes drawn without effect, and images
without a picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from radsupport.evaluate.comparators import VOLUME, beside
from radsupport.evaluate.discrimination import discrimination
from radsupport.evaluate.predictions import judged, measure
from radsupport.evaluate.reruns import number_of_folds
from radsupport.learning.assembly import Assembly, fixed_folds, indexed
from radsupport.learning.signatures import OUTCOME, run_signatures
from radsupport.tables import compared_signatures, read_table

LEAST_DRAWS = 30
#: The controls divide patients less often than the study's protocol does: what leaks in ten folds leaks in three, and
#: thirty runs take seconds.
CONTROL = {"folds": 3, "inner_folds": 2}
OBSERVED = ["observed", "observed_low", "observed_high", "divisions"]
DRAWN = ["draw", "signature", "cohort", "n", "events", "measure", "value", "ci_low", "ci_high", "p_vs_half", "covers"]


#: Columns of `images`; each estimate has its limits beside it.
IMAGES = ["cohort", "signature", "control", "n", "events", "measure",
          *(f"{name}{end}" for name in ("true", "value", "lost", "over_volume") for end in ("", "_low", "_high")),
          "p", "p_volume"]  # fmt: skip
TRUE = "true images"


def images(
    results: Path,
    assembly: Assembly,
    wanted: Sequence[str],
    volume: pd.DataFrame,
    *,
    n_bootstrap: int = 1000,
    **protocol: Any,
) -> pd.DataFrame:
    """Judge the radiomics signature again on control images: same folds, selection, learner and seed.

    Only features of the original image enter, of the true images as of the controls, so that like is compared with
    like; the signature is the first that learns from radiomics alone.

    Parameters
    ----------
    results : Path
        Folder with ``features_radiomics.parquet`` and ``features_radiomics_control_<kind>_<region>.parquet``.
    assembly : Assembly
    wanted : sequence of str
        Controls, kind and region; one without a table is left out.
    volume : DataFrame
        Predictions that contain those by volume alone, if there are any.
    n_bootstrap : int
        Resamples behind the intervals of C-indices and their differences.
    **protocol
        Of `run_signatures`: folds, inner_folds, external, seed.

    Returns
    -------
    DataFrame
        `IMAGES`: per cohort and control the AUC or C-index on true images, on the control (value), what is lost (true
        minus control, paired, with p) and what the control has over volume alone (paired, with p_volume). Empty, with
        the reason in ``attrs["empty"]``, where nothing was measured.
    """
    names = compared_signatures(assembly.signatures, "radiomics", ())
    stems = {one: f"radiomics_control_{one.replace(' ', '_')}" for one in wanted}
    stems = {one: stem for one, stem in stems.items() if (results / f"features_{stem}.parquet").is_file()}
    if not names or not stems:
        table = pd.DataFrame(columns=IMAGES)
        table.attrs["empty"] = "No control images were measured: " + (
            "no signature learns from radiomics alone." if not names else "there are none of these scans."
        )
        return table
    tables = {one: indexed(read_table(f"features_{stem}", results)) for one, stem in stems.items()}
    whole = indexed(read_table("features_radiomics", results))
    tables = {TRUE: whole[next(iter(tables.values())).columns], **tables}
    base, found = assembly.by_name[names[0]], [volume[volume["signature"] == VOLUME]]
    protocol |= {"folds": fixed_folds(results, protocol.get("folds", 10))}
    for name, own in tables.items():
        again = assembly.changed(signatures=[base], tables={**assembly.tables, "radiomics": own})
        again_on = run_signatures(again, **protocol, refit=protocol.get("external") == "refit").predictions
        found.append(again_on.assign(signature=name))
    options = {"n_bootstrap": n_bootstrap, "seed": protocol.get("seed", 0)}
    rows = judged(pd.concat(found, ignore_index=True), assembly.outcome, [VOLUME, *tables])
    return _on_images(rows, list(stems), assembly.outcome, options).assign(signature=base.name)[IMAGES]


def _on_images(
    rows: pd.DataFrame, wanted: Sequence[str], outcome: Sequence[str], options: dict[str, Any]
) -> pd.DataFrame:
    """Join values, losses and what is left over volume, a row per cohort and control."""
    ends = ("", "_low", "_high")
    values = measure(rows, discrimination, outcome=outcome, **options).astype({"cohort": str, "signature": str})
    values = values.reindex(columns=["cohort", "signature", *(f"value{end}" for end in ends)])
    true = values[values["signature"] == TRUE].drop(columns="signature")
    true = true.rename(columns=lambda name: name.replace("value", "true"))
    table = values.merge(true, on="cohort").rename(columns={"signature": "control"})
    pairs = (
        ([TRUE], list(wanted), "signature", "lost", "p"),
        (list(wanted), [VOLUME], "beside", "over_volume", "p_volume"),
    )
    for ours, others, other, word, p in pairs:
        tested = beside(rows, ours, others, outcome, **options).astype({"cohort": str})
        tested = tested.rename(columns={f"difference{end}": f"{word}{end}" for end in ends} | {"p": p})
        tested["control"] = tested["beside" if other == "signature" else "signature"]
        counts = ["n", "events", "measure"] if word == "lost" else []
        kept = ["cohort", "control", *counts, *(f"{word}{end}" for end in ends), p]
        table = table.merge(tested[kept], on=["cohort", "control"], how="inner" if counts else "left")
    return table.reindex(columns=IMAGES)


def protocol(assembly: Assembly, **protocol: Any) -> dict[str, Any]:
    """Return the protocol in the few folds of a control (`CONTROL`); folds that features were learnt in are kept."""
    return {**protocol, **CONTROL} | ({"folds": protocol["folds"]} if assembly.learnt_per_fold else {})


def permuted(
    assembly: Assembly, names: Sequence[str], n: int, *, seed: int = 0, divisions: int = 1, **protocol: Any
) -> pd.DataFrame:
    """Cross-validate signatures on permuted outcomes: what they score when there is nothing to find.

    Parameters
    ----------
    assembly : Assembly
    names : sequence of str
        Signatures, such as the cheapest of each kind.
    n : int
        Permutations; number i draws from the seed (`seed`, i), its folds from `seed` + i.
    seed : int
    divisions : int
        Divisions into folds with the true outcomes; features learnt in given folds have one.
    **protocol
        Of `run_signatures`: folds, inner_folds, n_jobs.

    Returns
    -------
    DataFrame
        draw, signature, cohort, observed (with the true outcomes, by the same protocol: mean over the divisions, for
        one may be lucky), observed_low and observed_high (lowest and highest division), divisions, value (AUC or
        C-index of the pooled out-of-fold risks, one division each: P is too large rather than too small).
    """
    columns, rows = list(assembly.outcome), []
    options = {**protocol, "external": "mean_of_folds", "refit": False}

    def scores(of: Assembly, name: str, start: int, repeats: int = 1) -> pd.Series:
        return run_signatures(of, [name], **options, seed=start, repeats=repeats).by_repeat["score"]

    for name in names if n else []:
        people, true = assembly.training(name)[1].index, scores(assembly, name, seed, divisions)
        observed = dict(zip(OBSERVED, (true.mean(), true.min(), true.max(), len(true)), strict=True))
        for i in range(n):
            order = np.random.default_rng([seed, i]).permutation(len(people))
            cohort = assembly.cohort.copy()
            cohort.loc[people, columns] = cohort.loc[people[order], columns].to_numpy()
            row = {"draw": i + 1, "signature": name, "cohort": "train"} | observed
            rows.append(row | {"value": float(scores(assembly.changed(cohort=cohort), name, seed + i).iloc[0])})
    return pd.DataFrame(rows, columns=["draw", "signature", "cohort", *OBSERVED, "value"])


def null_draws(
    assembly: Assembly, outcomes: Iterable[pd.DataFrame], names: Sequence[str] | None = None, **protocol: Any
) -> pd.DataFrame:
    """Run signatures on outcomes that were drawn without effect.

    Images, features and columns stay as they are, also features that were learnt on the true outcomes.

    Parameters
    ----------
    assembly : Assembly
    outcomes : iterable of DataFrame
        Indexed by subject: label, time, event of one draw; what is not known of a patient stays unknown.
    names : sequence of str, optional
        Signatures; all without it.
    **protocol
        Of `run_signatures`, without repeats. Folds that were made for the true outcomes are drawn anew, where no
        feature was learnt with them: they would not be stratified by these.

    Returns
    -------
    DataFrame
        draw, signature, cohort, n, events, measure, value, ci_low, ci_high, p_vs_half, covers (whether the interval
        holds 0.5); a row per draw, signature and cohort.

    Notes
    -----
    Outside the training cohort the expected value is 0.5. Out of fold it lies a little below, which is no leak (a leak
    lifts it): pooled risks compare patients of different folds, who are ranked by different models, and each model is
    fitted without the very patient, so that patients with the event meet the models with least of it (Parker et al.
    2007, BMC Bioinformatics 8:326; Airola et al. 2011, Comput Stat Data Anal 55:1828). In song2021 (56 patients, 10
    events, 10 folds) pairs from different folds show it and pairs of one fold do not: over 24 draws, means over
    signatures, 0.475 pooled (standard error 0.018), 0.512 within folds (0.020), difference -0.036 (0.007); the same
    risks judged by the outcomes of other draws give 0.502 (0.003).
    """
    refit = protocol.get("external") == "refit"  # else nothing here needs the fit on everyone
    if not assembly.learnt_per_fold:
        protocol |= {"folds": number_of_folds(protocol.get("folds", 10))}
    tables = []
    for i, drawn in enumerate(outcomes):
        changed = assembly.changed(cohort=with_outcomes(assembly.cohort, drawn))
        run = run_signatures(changed, names, **protocol, refit=refit)
        found = measure(judged(run.predictions, assembly.outcome), discrimination, outcome=assembly.outcome)
        tables.append(found.astype({"cohort": str, "signature": str}).assign(draw=i + 1))
    table = pd.concat(tables, ignore_index=True).dropna(subset=["value"])
    table = table.rename(columns={"value_low": "ci_low", "value_high": "ci_high", "p": "p_vs_half"})
    table["covers"] = (table["ci_low"] <= 0.5) & (table["ci_high"] >= 0.5)
    return table[DRAWN].reset_index(drop=True)


def with_outcomes(cohort: pd.DataFrame, drawn: pd.DataFrame) -> pd.DataFrame:
    """Return the cohort table with other outcomes where outcomes are known; both are indexed by subject."""
    columns = [column for column in OUTCOME if column in cohort.columns]
    fresh = drawn.reindex(cohort.index)[columns].where(cohort[columns].notna())
    return cohort.assign(**{column: fresh[column] for column in columns})


def over_draws(table: pd.DataFrame, least: int = LEAST_DRAWS, level: float = 0.95) -> pd.DataFrame:
    """Join the draws: does no effect give 0.5 for each signature in each cohort?

    Outcomes of different draws are independent, so the mean over draws has an ordinary t interval. Within a draw all
    signatures share patients and outcomes: single intervals of one draw miss together.

    Parameters
    ----------
    table : DataFrame
        As `null_draws` or `permuted` return it.
    least : int
        Draws from which there are limits and tests; two at least.
    level : float

    Returns
    -------
    DataFrame
        signature, cohort, draws, n, events_first (of the first draw) and measure where given, mean with limits (t
        interval, cut at 0 and 1), lowest, highest, sd (over draws; NaN from one), p_t (t test of the mean against 0.5),
        where single draws have intervals how many there are (intervals) and how many hold 0.5 (covering), and of
        permuted runs observed (with its range and number of divisions) and p: (1 + number of draws that reach it) /
        (1 + draws), one-sided, never 0, with the exact interval that so few draws leave (p_low, p_high).
    """
    rows = []
    for (signature, cohort), part in table.groupby(["signature", "cohort"], sort=False):
        values, first = part["value"].to_numpy(float), part.iloc[0]
        row: dict[str, Any] = {"signature": signature, "cohort": cohort, "draws": len(part)}
        row |= {new: first[key] for key, new in {"n": "n", "events": "events_first", "measure": "measure"}.items()
                if key in part}  # fmt: skip
        row |= _mean_of_draws(values, level, max(least, 2))
        if "covers" in part:
            known = part[part["ci_low"].notna()]
            row |= {"intervals": len(known), "covering": int(known["covers"].sum())}
        if "observed" in part:
            reached = int((values >= first["observed"]).sum())
            row |= {key: first[key] for key in OBSERVED if key in part}
            ends = proportion_confint(reached, len(values), method="beta")
            found = dict(zip(("p", "p_low", "p_high"), ((1 + reached) / (1 + len(values)), *ends), strict=True))
            row |= found if len(values) >= least else dict.fromkeys(found, np.nan)
        rows.append(row)
    return pd.DataFrame(rows)


def _mean_of_draws(values: np.ndarray, level: float, least: int) -> dict[str, float]:
    """Return the mean, its t interval and the P of the t test against 0.5; without limits from fewer than `least`."""
    n, mean = len(values), float(values.mean())
    row = {"mean": mean, "mean_low": np.nan, "mean_high": np.nan, "lowest": values.min(), "highest": values.max()}
    row |= {"sd": float(values.std(ddof=1)) if n > 1 else np.nan, "p_t": np.nan}
    if n < least:
        return row
    se, df = row["sd"] / np.sqrt(n), n - 1
    half, away = float(stats.t.ppf(0.5 + level / 2, df)) * se, abs(mean - 0.5)
    p = float(2 * stats.t.sf(away / se, df)) if se > 0 else float(away == 0)  # a constant risk gives 0.5 in every draw
    return row | {"mean_low": max(0.0, mean - half), "mean_high": min(1.0, mean + half), "p_t": p}
