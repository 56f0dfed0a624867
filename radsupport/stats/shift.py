"""Whether the values of some patients lie on the scale of the training patients, column by column.

A table in other units, standardised where training is raw, or with another zero (HU with an offset of 1024) passes
every check of its form, and a model gives numbers for it that mean nothing. Three numbers say so: the share of values
outside the training range, the standardised mean difference (Austin 2009, Stat Med 28:3083), and the ratio of the
interquartile ranges, which alone sees a factor in columns whose mean is 0.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

#: Standardised mean difference of an alarm. Two normal distributions that far apart share a third of their area; values
#: of 0.1 are called imbalance, and hospitals that scan the same disease seldom differ by 1.
FAR = 2.0
#: Ratio of interquartile ranges, either way, of an alarm: units differ by 10 or more, patients by much less.
WIDE = 5.0
#: Share outside the training range of an alarm. Of exchangeable patients 2 / (n + 1) lie there.
OUTSIDE = 0.5
#: Share of columns with an alarm from which a whole table is said to be on another scale.
MANY = 0.2
#: Fewest values, in training and elsewhere, that raise an alarm.
FEWEST = 5


def shift(train: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Compare the numeric columns of other patients with those of training.

    Parameters
    ----------
    train, other : DataFrame
        One row per patient; columns that both have are compared, missing values left out.

    Returns
    -------
    DataFrame
        column, n_train, n, outside (share of the values outside the training range), smd (other minus training, over
        the root mean square of the two standard deviations; infinite where neither varies and they differ), spread
        (interquartile range over that of training, which single values do not stretch), alarm (|smd| of `FAR` or more,
        a spread of `WIDE` or more either way where there are more than two values, or `OUTSIDE` or more outside; never
        with fewer than `FEWEST` values).
    """
    columns = [column for column in train.columns if column in other.columns]
    a, b = (table[columns].apply(pd.to_numeric, errors="coerce").astype(float) for table in (train, other))
    known = pd.DataFrame({"n_train": a.notna().sum(), "n": b.notna().sum()})
    beyond = (b.lt(a.min()) | b.gt(a.max())).sum() / known["n"].replace(0, np.nan)
    sd_a, sd_b = a.std(), b.std()
    pooled, gap = np.sqrt((sd_a**2 + sd_b**2) / 2), b.mean() - a.mean()
    smd = (gap / pooled.replace(0, np.nan)).mask(pooled.eq(0) & gap.ne(0), np.sign(gap) * np.inf)
    smd = smd.mask(pooled.eq(0) & gap.eq(0), 0.0)
    wide_a, wide_b = (table.quantile(0.75) - table.quantile(0.25) for table in (a, b))
    spread = wide_b / wide_a.replace(0, np.nan)
    two = a.nunique().eq(2) | b.nunique().eq(2)  # of two values it says how many have which
    far = smd.abs().ge(FAR) | ((spread.ge(WIDE) | spread.le(1 / WIDE)) & ~two) | beyond.ge(OUTSIDE)
    found = known.assign(outside=beyond, smd=smd, spread=spread, alarm=far & known.min(axis=1).ge(FEWEST))
    return found.rename_axis("column").reset_index()


def shifts(table: pd.DataFrame, cohort: pd.Series, train: str = "train") -> pd.DataFrame:
    """Return `shift` of every other cohort against training.

    Parameters
    ----------
    table : DataFrame, indexed by subject
    cohort : Series by subject
    train : str

    Returns
    -------
    DataFrame
        cohort, and what `shift` returns; empty without training patients or without others.
    """
    where = cohort.reindex(table.index)
    own = table[where == train]
    found = {str(key): shift(own, part) for key, part in table.groupby(where, sort=False) if key != train}
    tables = [part.assign(cohort=key)[["cohort", *part.columns]] for key, part in found.items() if len(own)]
    columns = ["cohort", "column", "n_train", "n", "outside", "smd", "spread", "alarm"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def on_another_scale(found: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the columns with an alarm of each cohort of `shifts` that lies on another scale as a whole.

    That is one in which `MANY` or more of the columns raise an alarm, or one column has no value inside the training
    range: an offset of HU moves a tenth of the features only.
    """
    parts = {str(key): part for key, part in found.groupby("cohort", sort=False)}
    apart = {key: part["alarm"].astype(bool) for key, part in parts.items()}
    return {
        key: part[apart[key]]
        for key, part in parts.items()
        if apart[key].mean() >= MANY or (apart[key] & part["outside"].eq(1)).any()
    }
