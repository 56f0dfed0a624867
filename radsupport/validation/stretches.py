"""At which thresholds a decision curve lies above both references: separate stretches, gaps shown, noise left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from radsupport.report.wording import listed

REFERENCES = ("treat_all", "treat_none")
#: Smallest gain in net benefit that counts: 5 more true positives per 1000 patients, at no more false ones.
LEAST_GAIN = 0.005


def gains(curves: pd.DataFrame) -> pd.DataFrame:
    """Return net benefit above the better reference: one row per threshold, one column per signature.

    Parameters
    ----------
    curves : DataFrame
        threshold, strategy (signatures, and at least one of treat_all and treat_none), net_benefit (per patient).
    """
    wide = curves.groupby(["threshold", "strategy"])["net_benefit"].first().unstack()  # noqa: PD010 - keeps empty ones
    names = [s for s in curves["strategy"].drop_duplicates() if s not in REFERENCES]
    reference = wide.reindex(columns=list(REFERENCES)).max(axis=1).fillna(0.0)
    return wide[names].sub(reference, axis=0)


def stretches(gain: pd.Series) -> list[tuple[float, float]]:
    """Return first and last threshold of every unbroken run of thresholds with a gain of at least `LEAST_GAIN`."""
    better = (gain >= LEAST_GAIN - 1e-12).to_numpy()
    edges = np.flatnonzero(np.diff(np.concatenate(([0], better.astype(int), [0]))))
    marks = gain.index.to_numpy(dtype=float)
    return [(float(marks[a]), float(marks[b - 1])) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def stretch_words(found: Sequence[tuple[float, float]]) -> str:
    """Word stretches in per cent: ``6% to 12%, 20%``; ``nowhere`` without any."""
    words = [f"{low:.0%}" if low == high else f"{low:.0%} to {high:.0%}" for low, high in found]
    return listed(words, limit=len(words)) if words else "nowhere"
