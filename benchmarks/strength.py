"""How strong is the protocol for feature tables, and what is a search worth that is not nested? On open tables.

    python benchmarks/strength.py --data FOLDER            # FOLDER/radmlbench/*.csv.gz; about a quarter of an hour
    python benchmarks/strength.py --data FOLDER --only Zhang2024B --divisions 2

Protocols stand side by side, everything learnt inside the folds, over several divisions of the same patients. Each is
pooled raw and with the fold models on one scale. Beside them stands a search as the table's authors published one
(every combination of a selection, a number of features and a learner is cross-validated and the best value taken),
here and on outcomes that were shuffled among the patients: what it finds where there is nothing.

Written are `benchmarks/strength.csv` (a row per table, protocol and division) and `benchmarks/strength.md`.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

ROOT = Path(__file__).resolve().parents[1]
sys.path = [str(ROOT), *(path for path in sys.path if Path(path).resolve() != ROOT / "benchmarks")]

from radsupport.data.open import open_cohort  # noqa: E402 - this folder must not be searched before
from radsupport.learning.assembly import Assembly  # noqa: E402
from radsupport.learning.signatures import run_signatures  # noqa: E402
from radsupport.settings.learning import Signature  # noqa: E402
from radsupport.stats.concordance import concordance  # noqa: E402
from radsupport.stats.logistic import fit_logistic  # noqa: E402
from radsupport.stats.outcome import log_odds, ranking  # noqa: E402
from radsupport.study import load_study  # noqa: E402

LUNG1 = "Lung1, survival (C-index)"
#: Where each table lies in the folder of open data.
TABLES = {name: f"radmlbench/{name}.csv.gz" for name in ("WORC-Melanoma", "Zhang2024B", "WORC-GIST")}
TABLES |= {LUNG1: "lung1_survival_table/lung1_421_pyradiomics_clinical_survival.csv.gz"}
FILTERED = {"test": "mann_whitney", "max_correlation": 0.9}
_SOURCE: dict[str, Any] = {"sources": ["radiomics"]}
PROTOCOLS = (
    Signature(name="Ridge, filtered", selection=FILTERED, learner="Ridge", **_SOURCE),
    Signature(name="Ridge", learner="Ridge", **_SOURCE),
    Signature(name="Boost", learner="Boost", **_SOURCE),
    Signature(name="Forest", learner="Forest", **_SOURCE),
    Signature(name="Average", combines=["Ridge", "Boost"], learner="Mean"),
)
SURVIVAL_PROTOCOLS = (
    Signature(name="LASSO, filtered", selection={"max_correlation": 0.9}, learner="CoxLasso", **_SOURCE),
    Signature(name="Ridge", learner="CoxRidge", **_SOURCE),
    Signature(name="Boost", learner="BoostCox", **_SOURCE),
    Signature(name="Average", combines=["Ridge", "Boost"], learner="Mean"),
)
SEARCH, SHUFFLED = "Best of a search", "Best of a search, shuffled outcomes"
SIZES = [2**k for k in range(7)]
COSTS = [2.0**k for k in range(-7, 7, 2)]
COLUMNS = [
    "protocol", "division", "raw", "scaled", "within", "slope_before", "slope_after", "intercept_before",
    "intercept_after", "typical", "configurations", "seconds",
]  # fmt: skip
FILES = (ROOT / "benchmarks" / "strength.csv", ROOT / "benchmarks" / "strength.md")


def nested(
    features: pd.DataFrame, label: pd.Series, names: Sequence[str], divisions: int, folds: int = 10
) -> Iterator[dict[str, Any]]:
    """Yield a row per protocol and division: the AUC, raw, on one scale and within folds; calibration before, after.

    Seconds are those beyond what a protocol shares with those before it: the mean of two takes their fits.
    """
    cohort = pd.DataFrame({"subject": label.index, "label": label.to_numpy(), "cohort": "train", "center": "one"})
    assembly = Assembly(PROTOCOLS, {"radiomics": features}, cohort)
    for number in range(divisions):
        with assembly.shared_steps(names):
            for name in names:
                start = time.process_time()
                run = run_signatures(assembly, [name], folds=folds, inner_folds=5, seed=number, refit=False)
                row = {"protocol": name, "division": number} | judged(run.results[name].risks, label)
                yield row | {"seconds": time.process_time() - start}


def followed(data: Path, divisions: int) -> Iterator[dict[str, Any]]:
    """Yield a row per protocol and division of the training patients of study lung1: the C-index, as in `nested`."""
    study = load_study("lung1", folder=ROOT / "studies")
    with TemporaryDirectory() as place:
        (Path(place) / "data").mkdir()
        (Path(place) / "data" / "lung1").symlink_to(data.resolve())
        (Path(place) / "data_manifest.csv").symlink_to(ROOT / "data_manifest.csv")
        opened = open_cohort(study, Path(place))
    cohort = opened.cohort[opened.cohort["cohort"] == "train"]
    features = opened.features["radiomics"].set_index("subject").loc[cohort["subject"]]
    assembly = Assembly(SURVIVAL_PROTOCOLS, {"radiomics": features}, cohort, outcome=("time", "event"))
    size = {"table": LUNG1, "n": len(cohort), "events": int(cohort["event"].sum())}
    known = cohort.set_index("subject")
    for number in range(divisions):
        for protocol in SURVIVAL_PROTOCOLS:
            start = time.process_time()
            run = run_signatures(assembly, [protocol.name], folds=10, inner_folds=5, seed=number, refit=False)
            risks = run.results[protocol.name].risks
            own = known.loc[risks["subject"]]
            found = {
                key: concordance(own["time"], own["event"], risks[column], strata=strata).concordance
                for key, column, strata in (
                    ("raw", "risk", None), ("scaled", "score", None), ("within", "risk", risks["fold"]),
                )
            }  # fmt: skip
            seconds = time.process_time() - start
            yield size | {"protocol": protocol.name, "division": number, "seconds": seconds} | found


def judged(risks: pd.DataFrame, label: pd.Series) -> dict[str, float]:
    """Return the AUCs of pooled risks and scores, of pairs within folds, and slope and intercept of both."""
    y = label.loc[risks["subject"]].to_numpy()
    row = {"raw": roc_auc_score(y, risks["risk"]), "scaled": roc_auc_score(y, risks["score"])}
    row["within"] = concordance(2 - y, y, risks["risk"], strata=risks["fold"]).concordance
    own = log_odds(risks["risk"])
    rescaled = log_odds(expit(own.mean() + own.std() * risks["score"]))  # the score as a probability, for comparison
    for when, values in (("before", own), ("after", rescaled)):
        fit = fit_logistic(pd.DataFrame({"y": y, "x": values}), "y", ["x"]).table.set_index("covariate")["coef"]
        row |= {f"slope_{when}": float(fit["x"])}
        row |= {f"intercept_{when}": intercept(y, values)}
    return row


def intercept(y: Any, offset: Any) -> float:
    """Return the intercept of a logistic regression with these log-odds as offset (calibration in the large)."""
    low, high = -10.0, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if expit(offset + middle).mean() < y.mean() else (low, middle)
    return (low + high) / 2


def searched(X: np.ndarray, y: np.ndarray, seed: int, folds: int = 10) -> pd.Series:
    """Return the pooled AUC of every configuration of a search: selection, number of features, learner."""
    pooled: dict[str, np.ndarray] = {}
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=seed).split(X, y):
        scale = StandardScaler().fit(X[train])
        inside, outside = scale.transform(X[train]), scale.transform(X[test])
        lasso = LogisticRegression(solver="liblinear", l1_ratio=1.0, random_state=seed).fit(inside, y[train])
        trees = ExtraTreesClassifier(random_state=seed).fit(inside, y[train])
        ranks = {
            "ANOVA": np.nan_to_num(f_classif(inside, y[train])[0]),
            "LASSO": np.abs(lasso.coef_[0]),
            "trees": trees.feature_importances_,
        }
        for name, rank in ranks.items():
            order = np.argsort(-rank, kind="stable")
            for size in SIZES:
                a, b = inside[:, order[:size]], outside[:, order[:size]]
                for key, model in learners(seed):
                    model.fit(a, y[train])
                    value = ranking(model, b)
                    pooled.setdefault(f"{name} {size} {key}", np.empty(len(y)))[test] = value
    return pd.Series({name: roc_auc_score(y, value) for name, value in pooled.items()})


def learners(seed: int) -> Iterator[tuple[str, Any]]:
    """Yield naive Bayes, logistic regressions and support vector machines."""
    yield "naive Bayes", GaussianNB()
    for cost in COSTS:
        yield f"logistic {cost}", LogisticRegression(C=cost, solver="liblinear", random_state=seed)
        yield f"SVM {cost}", SVC(C=cost, gamma="auto")


def search_rows(features: pd.DataFrame, label: pd.Series, shuffles: int) -> Iterator[dict[str, Any]]:
    """Yield the best of the search with the true outcomes, and with shuffled ones."""
    X, y = features.to_numpy(float), label.to_numpy()
    for number in range(shuffles + 1):
        start = time.process_time()
        own = y if number == 0 else np.random.default_rng(number).permutation(y)
        found = searched(X, own, 0)
        yield {
            "protocol": SHUFFLED if number else SEARCH, "division": max(number - 1, 0), "raw": found.max(),
            "typical": found.median(), "configurations": len(found), "seconds": time.process_time() - start,
        }  # fmt: skip


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Return mean and SD over divisions, a row per table and protocol."""
    columns = [
        "raw",
        "scaled",
        "within",
        "slope_before",
        "slope_after",
        "intercept_before",
        "intercept_after",
        "seconds",
    ]
    by = rows.groupby(["table", "n", "events", "protocol"], sort=False)
    table = by[columns].mean().join(by[["raw", "scaled"]].std().add_suffix("_sd")).join(by.size().rename("divisions"))
    return table.reset_index()


def page(rows: pd.DataFrame, command: str) -> str:
    """Return the Markdown page of the results."""
    lines = [
        "# How strong is the protocol?", "", f"Written by `{command}`.", "",
        "AUC (C-index where the table says so), mean ± SD over divisions of the same patients into ten folds;",
        "everything is learnt inside the folds. On one scale: each fold model's log-odds standardised by its own inner",
        "out-of-fold mean and SD before pooling. Within folds: pairs of one fold. Slope and intercept of calibration",
        "(ideal: 1 and 0) of the probabilities as they are → of the standardised log-odds with mean and SD of all. A",
        "search is the best of its configurations; its value is not nested, and what it finds in",
        "shuffled outcomes is what its search alone is worth.", "",
        "| table | protocol | divisions | pooled raw | on one scale | within folds | slope | intercept | CPU s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip

    def cell(mean: float, sd: float = float("nan")) -> str:
        return "" if np.isnan(mean) else f"{mean:.3f}" + ("" if np.isnan(sd) else f" ± {sd:.3f}")

    for row in summary(rows).to_dict("records"):
        both = [
            "" if np.isnan(row[f"{key}_before"]) else f"{row[f'{key}_before']:.2f} → {row[f'{key}_after']:.2f}"
            for key in ("slope", "intercept")
        ]
        cells = [f"{row['table']} ({row['events']} of {row['n']})", row["protocol"], str(row["divisions"])]
        cells += [cell(row["raw"], row["raw_sd"]), cell(row["scaled"], row["scaled_sd"]), cell(row["within"]), *both]
        lines.append("| " + " | ".join([*cells, f"{row['seconds']:.0f}"]) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run the benchmark; tables that are not here are named and left out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RADSUPPORT_DATA", "data")))
    parser.add_argument("--only", nargs="*", default=list(TABLES), choices=TABLES)
    parser.add_argument("--divisions", type=int, default=5)
    parser.add_argument("--shuffles", type=int, default=5)
    given = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # of the search: its authors let their learners stop early, too
    before = pd.read_csv(FILES[0]) if FILES[0].is_file() else pd.DataFrame(columns=["table"])
    rows: list[dict[str, Any]] = []
    for block in blocks(given):
        rows += block
        found = pd.DataFrame(rows).reindex(columns=["table", "n", "events", *COLUMNS])
        others = before[~before["table"].isin(found["table"])]  # what this run does not do again stays
        found = pd.concat([others, found], ignore_index=True) if len(others) else found
        found.round(5).to_csv(FILES[0], index=False)  # after each: a run that stops early keeps what it has
        FILES[1].write_text(page(found, "python benchmarks/strength.py --data FOLDER"), encoding="utf-8")
    print(FILES[1].read_text(encoding="utf-8") if rows else "No table is here.")
    return 0


def blocks(given: argparse.Namespace) -> Iterator[Iterator[dict[str, Any]]]:
    """Yield the rows of each table by parts; a table that is not here is named and left out."""
    for name in given.only:
        path = given.data / TABLES[name]
        if not path.is_file():
            print(f"{name}: no {path}; left out")
        elif name == LUNG1:
            yield followed(given.data, given.divisions)
        else:
            table = pd.read_csv(path, dtype={"ID": str}).set_index("ID")
            label, features = table.pop("Target"), table.add_prefix("ct__")
            size = {"table": name, "n": len(label), "events": int(label.sum())}
            late = [one.name for one in PROTOCOLS if one.learner == "Forest"]
            early = [one.name for one in PROTOCOLS if one.name not in late]
            yield (size | row for row in nested(features, label, early, given.divisions))
            yield (size | row for row in search_rows(features, label, given.shuffles))
            yield (size | row for row in nested(features, label, late, given.divisions))


if __name__ == "__main__":
    sys.exit(main())
