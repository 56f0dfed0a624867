"""How each signature ranks the training patients: out of fold, on its own patients, and inside the tuning."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from radsupport.checks import cohorts_in_order
from radsupport.evaluate.discrimination import discrimination
from radsupport.evaluate.predictions import APPARENT, LABEL, judged, measure
from radsupport.learning.learners import GIVEN
from radsupport.learning.signatures import SignatureRun, heirs_of_published, published
from radsupport.wording import fixed

OUT_OF_FOLD = {f"value{end}": f"out_of_fold{end}" for end in ("", "_low", "_high")}


def scores(
    predictions: pd.DataFrame, outcome: Sequence[str] = LABEL, cohort: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return one row per signature with its value in every cohort.

    Parameters
    ----------
    predictions : DataFrame
        predictions.parquet, or predictions of reruns in its form.
    outcome : sequence of str
    cohort : DataFrame, optional
        cohort.parquet: with its centers, training patients of several also have the value of pairs within them.

    Returns
    -------
    DataFrame
        signature, n, events, measure, out_of_fold with limits, p, p_chance, of several centers what `discrimination`
        adds, then of each other cohort the value (internal, external) with limits and n_internal, n_external, and
        apparent where the models predicted their own patients.
    """
    found = measure(judged(predictions, outcome, apparent=True, cohort=cohort), discrimination, outcome=outcome)
    found = found.astype({"cohort": str, "signature": str})
    train = (
        found[found["cohort"] == "train"].rename(columns=OUT_OF_FOLD).drop(columns=["cohort", "note"], errors="ignore")
    )
    train = train.rename(columns=OUT_OF_FOLD)
    others = [key for key in cohorts_in_order(found["cohort"]) if key not in ("train", APPARENT)]
    for key in (*others, APPARENT):
        own = found[found["cohort"] == key].set_index("signature")
        named = {"value": key}
        if key != APPARENT:
            named |= {"value_low": f"{key}_low", "value_high": f"{key}_high", "n": f"n_{key}"}
        train = train.join(own.rename(columns=named)[list(named.values())], on="signature") if len(own) else train
    return train.reset_index(drop=True)


def elsewhere(table: pd.DataFrame) -> list[str]:
    """Return the columns of `scores` that are of other cohorts than training: n, value and limits."""
    keys = [str(name) for name in table if {f"n_{name}", f"{name}_low"} <= set(table)]
    return [name for key in keys for name in (f"n_{key}", key, f"{key}_low", f"{key}_high")]


def cross_validation(
    run: SignatureRun, outcome: Sequence[str] = LABEL, cohort: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return how each signature ranks the training patients: honestly, apparently, and inside the tuning.

    Returns
    -------
    DataFrame
        signature, kind (only where there are published outputs), n, events, measure, for training patients of several
        centers (of `cohort`) centers, within with limits and p_within (pairs within centers), within_folds (pairs whom
        one model ranks), out_of_fold (first division, all pairs) with limits, p_null_se (AUC) or p_wald (C-index)
        against 0.5, divisions_mean and divisions_range (only where the folds were drawn more than once), apparent,
        inner_score, optimism (apparent minus the mean over divisions). The inner score is missing where nothing was
        fitted; for published outputs, which no fold leaves out, the apparent value and the optimism are missing as
        well.
    """
    table = scores(run.predictions, outcome, cohort)
    given, taken = [s.name for s in run.signatures if s.learner in GIVEN], published(run.signatures)
    names = table["signature"]
    spread = run.divisions().set_index("signature")
    mean, inner = names.map(spread["mean"]), names.map(run.summary.set_index("signature")["inner_score"])
    apparent = table.get(APPARENT, pd.Series(float("nan"), table.index)).mask(names.isin(taken))
    p = "p_null_se" if (table["measure"] == "AUC").all() else "p_wald"
    table = table.assign(
        inner_score=inner.mask(names.isin(given)), apparent=apparent, optimism=apparent - mean, divisions_mean=mean,
        divisions_range=names.map(_ranges(spread)), kind=_kinds(names, run), **{p: table["p_chance"]},
    )  # fmt: skip
    wanted = ["signature", "kind"] if taken else ["signature"]
    within = "within" in table and table["within"].notna().any()
    several = ["centers", "within", "within_low", "within_high", "p_within"] * bool(within)
    several += ["within_folds"] * ("within_folds" in table)
    wanted += ["n", "events", "measure", *several, *OUT_OF_FOLD.values(), p]
    wanted += ["divisions_mean", "divisions_range"] if (spread["divisions"] > 1).any() else []
    return table[[*wanted, "apparent", "inner_score", "optimism"]]


def _ranges(spread: pd.DataFrame) -> pd.Series:
    """Return the lowest and highest value of each signature's divisions as text."""
    words = [f"{fixed(low, 3)}–{fixed(high, 3)}" for low, high in zip(spread["lowest"], spread["highest"], strict=True)]
    return pd.Series(words, spread.index, dtype=object)


def _kinds(names: pd.Series, run: SignatureRun) -> pd.Series:
    """Say of each signature whether its value is out of fold."""
    words = dict.fromkeys(heirs_of_published(run.signatures), "out of fold, on a published output")
    words |= dict.fromkeys(published(run.signatures), "published output; not fitted here")
    return names.map(words).fillna("out of fold")
