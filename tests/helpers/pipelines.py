"""A small table with an effect in two features, and the pipeline that the tests of learning fit to it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from radsupport.learning.linear import PenalisedLogistic
from radsupport.learning.preparation import Imputer, z_score
from radsupport.learning.selection import UnivariateSelector, VarianceFilter
from radsupport.learning.tuning import TunedPipeline

N, EVENTS = 60, 20


def table_of(p=20, seed=0, effect=0.0, n=N, events=EVENTS):
    """Subjects x features, the first two carrying the effect; and the label."""
    rng = np.random.default_rng(seed)
    subjects = [f"s{i:03d}" for i in range(n)]
    y = pd.Series(rng.permutation(np.repeat([1, 0], [events, n - events])), index=subjects, name="label")
    X = pd.DataFrame(rng.normal(size=(n, p)), columns=[f"f{i}" for i in range(p)], index=subjects)
    X[["f0", "f1"]] += effect * y.to_numpy()[:, None]
    return X, y


def steps_of(keep=5):
    return [
        ("imputation", Imputer()),
        ("variance", VarianceFilter()),
        ("univariate", UnivariateSelector("t", 1e-9, keep_at_least=keep)),
        ("z_score", z_score()),
    ]


def factory_of(inner_folds, seed):
    return TunedPipeline(steps_of(), PenalisedLogistic(0.3), inner_folds=inner_folds, seed=seed)
