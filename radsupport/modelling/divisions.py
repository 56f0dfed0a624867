"""How much a signature's value depends on how the folds were drawn, and how lucky the first division was."""

from __future__ import annotations

import pandas as pd

from radsupport.chapter import Chapter
from radsupport.modelling.signatures import SignatureRun, published_signatures
from radsupport.report.wording import fixed, listed
from radsupport.study_schema import Study

PUBLISHED_AS = "mean_over_divisions:"
_SAME = 1e-9  # divisions whose values differ by less are equal


def spread_table(run: SignatureRun, study: Study) -> pd.DataFrame:
    """Return how much the value of a signature depends on how the folds were drawn.

    Returns
    -------
    DataFrame
        signature, divisions, mean, sd, lowest, highest, first (the division whose predictions later chapters use);
        published outputs, which no division changes, are left out.
    """
    scores = run.by_repeat[~run.by_repeat["signature"].isin(published_signatures(study))]
    by = scores.groupby("signature", sort=False)["score"]
    table = by.agg(divisions="count", mean="mean", sd="std", lowest="min", highest="max", first="first")
    return table.reset_index()


def divided_again(spread: pd.DataFrame) -> bool:
    """Whether the folds were drawn more than once."""
    return bool((spread["divisions"] > 1).any())


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
