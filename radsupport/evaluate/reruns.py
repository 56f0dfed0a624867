"""The same signature run again with one thing changed: learner, features, harmonisation, size; and the controls.

The controls are runs with permuted outcomes, and with outcomes drawn without any effect of the features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import expit
from sklearn.base import BaseEstimator, clone

from radsupport.checks import FloatArray, IntArray, varies
from radsupport.errors import ContractError, InputError, NotEstimableError, Problem
from radsupport.evaluate.cross_validation import OUT_OF_FOLD, elsewhere, scores
from radsupport.evaluate.discrimination import discrimination, pairs
from radsupport.evaluate.predictions import judged
from radsupport.learning.assembly import CENTER, Assembly, read_source, whole_table
from radsupport.learning.imputation import ChainedImputer
from radsupport.learning.learners import GIVEN
from radsupport.learning.preparation import ComBat, Imputer, as_table
from radsupport.learning.signatures import SignatureRun, prediction_rows, run_signatures
from radsupport.settings.features import AS_CHOSEN
from radsupport.settings.learning import Division, Signature
from radsupport.stats.outcome import Target, as_target, log_odds, risk_of, strata
from radsupport.wording import center_words, counted, listed

VARIANT_COLUMNS = ["variant", "table", "source", "signature", "group", "description"]
DIFFERENCE = ["difference", "difference_low", "difference_high", "p"]
WITHOUT, WITH = "without", "with ComBat"
MOST_COLUMNS = 100  # of a table whose gaps are filled several times: each is predicted from all others, again and again
GAPS, SEVERAL = "missing values", "filled several times"
FEW = 5  # draws per size below which nothing is said of rising or flat


def learners(
    assembly: Assembly,
    sources: Sequence[str],
    names: Sequence[str],
    *,
    run: SignatureRun | None = None,
    **protocol: Any,
) -> pd.DataFrame:
    """Run every learner on every source, and return the best by inner cross-validation first.

    Selection and folds are those of the first signature that uses the source alone, so that only the learner differs;
    learners that share their selection share its fits. The assembly's own learners (`Assembly.learners`) are compared
    too, on the first source that a signature uses alone where none is named.

    Parameters
    ----------
    assembly : Assembly
    sources, names : sequence of str
        Sources and learners.
    run : SignatureRun, optional
        The assembly's own run by the same protocol: a learner that a signature of it has is not fitted again.
    **protocol
        Of `run_signatures`: folds, inner_folds, repeats, external, seed, n_jobs.

    Returns
    -------
    DataFrame
        source, learner, n, inner_score, out_of_fold with limits, apparent, then one column per other cohort with the
        value there (NaN where it can not be estimated).
    """
    names, alone = [*names, *(name for name in assembly.learners if name not in names)], []
    if assembly.learners and not sources:
        alone = [s.sources[0] for s in assembly.signatures if len(s.sources) == 1 and not s.combines][:1]
        if not alone:
            raise InputError("No signature uses one source alone; learners can not be compared on it.")
    compared = with_learners(assembly.signatures, [*sources, *alone], names)
    columns = ["source", "learner", "n", "inner_score", *OUT_OF_FOLD.values(), "apparent"]
    if not compared:
        return _empty("No learners are compared.", columns)
    predictions, summary = _run_or_known(assembly, compared, run, protocol)
    table = scores(predictions, assembly.outcome).merge(summary[["signature", "inner_score"]], on="signature")
    table[["source", "learner"]] = table["signature"].str.split(" ", n=1, expand=True)
    table = table.sort_values(["source", "inner_score"], ascending=[True, False], kind="stable", ignore_index=True)
    return table[columns + elsewhere(table)]


def _run_or_known(
    assembly: Assembly, compared: Sequence[Signature], run: SignatureRun | None, protocol: Mapping[str, Any]
) -> list[pd.DataFrame]:
    """Return predictions and summary of signatures, of those in a run that differ by name alone as they are there."""
    own = [] if run is None else run.signatures
    known = {s.name: o.name for s in compared for o in own if s.model_copy(update={"name": o.name}) == o}
    others = [s for s in compared if s.name not in known]
    runs = [run_signatures(assembly.changed(signatures=others), **protocol)] if others else []
    parts = [[x.predictions, x.summary] for x in runs]
    if run is not None:
        there = (run.predictions, run.summary)
        parts += [[t[t["signature"] == o].assign(signature=name) for t in there] for name, o in known.items()]
    order = {s.name: i for i, s in enumerate(compared)}
    joined = [pd.concat(tables, ignore_index=True) for tables in zip(*parts, strict=True)]
    return [table.sort_values("signature", key=lambda names: names.map(order), kind="stable") for table in joined]


def with_learners(signatures: Sequence[Signature], sources: Sequence[str], names: Sequence[str]) -> list[Signature]:
    """Return one signature per source and learner, called ``<source> <learner>``.

    Each takes the first signature that uses the source alone and changes its learner.
    """
    compared = []
    for source in sources:
        base = next((s for s in signatures if list(s.sources) == [source] and not s.combines), None)
        if base is None:
            raise InputError(f"No signature uses the source {source!r} alone; learners can not be compared on it.")
        compared += [base.model_copy(update={"name": f"{source} {name}", "learner": name}) for name in names]
    return compared


def variants(
    results: Path,
    assembly: Assembly,
    predictions: pd.DataFrame,
    *,
    n_bootstrap: int = 1000,
    imputations: int = 0,
    **protocol: Any,
) -> pd.DataFrame:
    """Judge every variant of a feature table as its signature is judged: same folds, selection, learner and seed.

    A signature with gaps has one more: they are filled several times instead of once (`imputed`).

    Parameters
    ----------
    results : Path
        Folder with the ``variants_<chapter>.csv`` and the feature tables that they name.
    assembly : Assembly
    predictions : DataFrame
        Those of the signatures themselves, to compare with.
    n_bootstrap : int
        Resamples behind the interval of a difference in C-index.
    imputations : int
        How often gaps are filled; 0 leaves that variant out.
    **protocol
        Of `run_signatures`, without repeats.

    Returns
    -------
    DataFrame
        group, signature, variant, description, n, events, out_of_fold with limits, one column per other cohort,
        difference (variant minus the study's choice, out of fold, on the patients of both) with limits, and p. The
        first row of a signature within a group is the study's own choice; empty where no chapter wrote variants.

    Raises
    ------
    ContractError
        As `read_variants`.
    """
    found = [
        (
            str(group),
            str(name),
            row["variant"],
            row["description"],
            partial(_rerun_on, results, assembly, row, protocol),
        )
        for (group, name), part in read_variants(results, assembly.signatures).groupby(
            ["group", "signature"], sort=False
        )
        for row in part.to_dict("records")
    ]
    for name, gaps in _with_gaps(assembly) if imputations else []:
        words = f"{gaps} by chained equations, {imputations} times"
        found.append((GAPS, name, SEVERAL, words, partial(imputed, assembly, name, imputations, **protocol)))
    rows: list[dict[str, Any]] = []
    for group, name, variant, description, rerun in found:
        own = predictions[predictions["signature"] == name].assign(signature=AS_CHOSEN)
        keys = {"group": group, "signature": name}
        if not any(keys.items() <= row.items() for row in rows):
            rows.append(keys | {"variant": AS_CHOSEN, "description": ""} | _row(own, assembly))
        again = rerun().assign(signature=variant)
        both = judged(pd.concat([again, own]), assembly.outcome, [variant, AS_CHOSEN], ["train"])
        tested = pairs(both, assembly.outcome, n_bootstrap, protocol.get("seed", 0))
        row = keys | {"variant": variant, "description": description}
        rows.append(row | _row(again, assembly) | _difference(tested))
    reason = "There is one version of the features: no earlier chapter made them in a second way."
    return pd.DataFrame(rows) if rows else _empty(reason, ["group", "signature", "variant"])


def _empty(reason: str, columns: Sequence[str]) -> pd.DataFrame:
    """Return a table without rows that says why."""
    table = pd.DataFrame(columns=list(columns))
    table.attrs["empty"] = reason
    return table


def _rerun_on(
    results: Path, assembly: Assembly, variant: Mapping[Any, Any], protocol: Mapping[str, Any]
) -> pd.DataFrame:
    """Return the predictions of a signature whose source is another table."""
    source, base = variant["source"], assembly.by_name[variant["signature"]]
    table, icc = read_source(results, source, variant["table"].removeprefix("features_"))
    iccs = dict(assembly.icc) | ({} if icc is None else {source: icc})
    changed = assembly.changed(signatures=[base], tables={**assembly.tables, source: table}, icc=iccs)
    return run_signatures(changed, **protocol).predictions


def _row(predictions: pd.DataFrame, assembly: Assembly) -> dict[str, Any]:
    table = scores(predictions, assembly.outcome)
    columns = ["n", "events", *OUT_OF_FOLD.values(), *elsewhere(table)]
    return dict(table[columns].iloc[0].astype(object))


def _difference(tested: pd.DataFrame) -> dict[str, float]:
    return {key: tested[key].iloc[0] for key in DIFFERENCE} if len(tested) else {}


def read_variants(results: Path, signatures: Sequence[Signature]) -> pd.DataFrame:
    """Return every row of ``variants_<chapter>.csv``, checked.

    Returns
    -------
    DataFrame
        variant, table (file stem of a feature table), source (that it replaces), signature (whose protocol judges it),
        group, description; empty where no chapter wrote variants.

    Raises
    ------
    ContractError
        Columns or tables are missing, or a signature is unknown or does not use the source; all problems at once.
    """
    tables = {
        path.name: pd.read_csv(path, dtype=str, keep_default_na=False)
        for path in sorted(results.glob("variants_*.csv"))
    }
    columns, again = ", ".join(VARIANT_COLUMNS), "run the chapter again"
    problems = [
        Problem(f"the column `{column}` is missing", columns, again, file=file)
        for file, table in tables.items()
        for column in VARIANT_COLUMNS
        if column not in table
    ]
    sources = {s.name: s.sources for s in signatures}
    for file, row in [(f, row) for f, t in tables.items() for row in t.to_dict("records")] if not problems else []:
        if not (results / f"{row['table']}.parquet").is_file():
            problems.append(Problem("no such feature table", remedy=again, file=file, value=row["table"]))
        if row["source"] not in sources.get(row["signature"], []):
            what = f"no signature of this name learns from {row['source']!r}"
            problems.append(Problem(what, file=file, column="signature", value=row["signature"]))
    if problems:
        raise ContractError("The variants of earlier chapters can not be judged.", problems)
    return pd.concat([pd.DataFrame(columns=VARIANT_COLUMNS), *tables.values()], ignore_index=True)[VARIANT_COLUMNS]


def harmonised(
    assembly: Assembly, name: str, divisions: Sequence[Division], *, n_bootstrap: int = 1000, **protocol: Any
) -> pd.DataFrame:
    """Build a signature on each division of the centers, without and with ComBat.

    ComBat is fitted in the training part of every fold, on its centers, without the outcome. A center that was not in
    training is left as it is, on the pooled scale.

    Returns
    -------
    DataFrame
        built_on, center, judged (out of fold / unseen), n, events, without, with_combat, difference (with minus
        without) with limits, p. Centers are judged one by one: pooled over centers a signature is also rewarded for
        telling centers with many events from those with few.
    """
    plain, rows = assembly.by_name[name].model_copy(update={"name": WITHOUT, "harmonise": False}), []
    pair = [plain, plain.model_copy(update={"name": WITH, "harmonise": True})]
    protocol |= {"folds": number_of_folds(protocol.get("folds", 10))}
    for division in divisions:
        own = assembly.changed(signatures=pair, unseen_center="pooled").divided(division.train, division.test)
        found = judged(run_signatures(own, **protocol).predictions, own.outcome, [WITH, WITHOUT])
        centers = found["subject"].map(own.cohort[CENTER])
        for center in (*division.train, *division.test):
            part = found[centers == center]
            values = {s: discrimination(part[part["signature"] == s], own.outcome) for s in (WITHOUT, WITH)}
            tested = pairs(part, own.outcome, n_bootstrap, protocol.get("seed", 0))
            row: dict[str, Any] = {"built_on": _centers(division.train), "center": center_words(center)}
            row |= {"judged": "unseen" if center in division.test else "out of fold"}
            row |= {"n": int((part["signature"] == WITH).sum()), "events": values[WITH]["events"]}
            row |= {"without": values[WITHOUT]["value"], "with_combat": values[WITH]["value"]}
            rows.append(row | _difference(tested))
    columns = ["built_on", "center", "judged", "n", "events", "without", "with_combat", *DIFFERENCE]
    return pd.DataFrame(rows, columns=columns)


def _centers(names: Sequence[str]) -> str:
    return listed([center_words(name) for name in names])


def center_differences(assembly: Assembly, name: str, divisions: Sequence[Division]) -> pd.DataFrame:
    """Count the features that differ between the training centers of each division, before and after ComBat.

    Kruskal-Wallis per feature with Benjamini-Hochberg's adjustment, among the patients without the event and among
    those with it apart, so that an unequal share of events is not taken for a difference between scanners. ComBat is
    fitted on the very patients that are counted: this describes what it does, it proves nothing.

    Parameters
    ----------
    assembly : Assembly
    name : str
        Signature whose features are looked at; it need not be harmonised itself.
    divisions : sequence of Division

    Returns
    -------
    DataFrame
        built_on, n, features, before, after (features with adjusted P < 0.05 in either outcome group), refused (the
        unseen centers of the division, which ComBat refused to adjust after its fit on the others).

    Raises
    ------
    InputError
        The features were learnt per fold.
    """
    signature = assembly.by_name[name].model_copy(update={"harmonise": True})
    rows = []
    for division in divisions:
        own = assembly.changed(signatures=[signature]).divided(division.train, division.test)
        table, *_ = own.training(name)
        if not isinstance(table, pd.DataFrame):
            raise InputError(f"`{name}` learns features per fold; harmonise one of fixed features.")
        imputer = Imputer([CENTER]).fit(table)
        full = imputer.transform(table)
        combat = ComBat(CENTER).fit(full)
        group = own.cohort.loc[full.index, "label" if "label" in own.cohort else "event"].to_numpy()
        centers, plain = full[CENTER].to_numpy(), full.drop(columns=CENTER)
        row = {"built_on": _centers(division.train), "n": len(full), "features": plain.shape[1]}
        row |= {"before": differing(plain, centers, group), "after": differing(combat.transform(full), centers, group)}
        unseen = whole_table(own.table(name)).loc[own.cohort[CENTER].isin(division.test)]
        rows.append(row | {"refused": _centers(division.test) if _refuses(combat, imputer.transform(unseen)) else ""})
    return pd.DataFrame(rows, columns=["built_on", "n", "features", "before", "after", "refused"])


def _refuses(combat: ComBat, table: pd.DataFrame) -> bool:
    """Try ComBat on patients of centers that it was not fitted on."""
    try:
        combat.transform(table)
    except InputError:
        return len(table) > 0
    return False


def differing(table: pd.DataFrame, centers: Any, group: Any, alpha: float = 0.05) -> int:
    """Return how many features differ between centers within an outcome group (Kruskal-Wallis, Benjamini-Hochberg)."""
    found = np.zeros(table.shape[1], dtype=bool)
    for value in (0, 1):
        rows = group == value
        parts = [table.to_numpy(float)[rows & (centers == c)] for c in sorted(set(centers[rows]))]
        if len(parts) < 2 or min(map(len, parts)) < 2:
            continue
        told = varies(np.concatenate(parts))
        p = np.ones(table.shape[1])
        p[told] = stats.kruskal(*[part[:, told] for part in parts], axis=0).pvalue
        found |= stats.false_discovery_control(p, method="bh") < alpha
    return int(found.sum())


def number_of_folds(folds: int | pd.Series) -> int:
    """Return how many folds there are: other patients or outcomes are divided anew into as many."""
    return folds.nunique() if isinstance(folds, pd.Series) else folds


def _share_of(share: float, draw: int) -> Callable[[Any, int, int], Subsampled]:
    return lambda model, inner_folds, seed: Subsampled(model, share, inner_folds, 1000 * draw + seed)


class Subsampled(BaseEstimator):
    """A model fitted on a share of the subjects it is given, drawn by outcome.

    Parameters
    ----------
    model : estimator
    share : float
        In (0, 1].
    least : int
        Subjects of each outcome group that are kept at least (the model's inner folds need as many).
    seed : int

    Attributes
    ----------
    model_ : the fitted model
    n_, events_ : int
        Subjects it was fitted on, and events among them.
    """

    def __init__(self, model: Any, share: float, least: int = 2, seed: int = 0) -> None:
        self.model = model
        self.share = share
        self.least = least
        self.seed = seed

    def fit(self, X: pd.DataFrame, y: Any) -> Subsampled:
        """Fit the model on the drawn subjects.

        Raises
        ------
        NotEstimableError
            An outcome group has fewer subjects than `least`.
        """
        table, target = as_table(X), as_target(y)
        rows = draw_share(target, self.share, self.least, self.seed)
        self.n_, self.events_ = len(rows), int(strata(target)[rows].sum())
        self.model_ = clone(self.model).fit(table.iloc[rows], target[rows])
        return self

    def risk(self, X: pd.DataFrame) -> FloatArray:
        """Return the model's risk, shape (n_subjects,)."""
        return risk_of(self.model_, X)


def draw_share(target: Target, share: float, least: int, seed: int) -> IntArray:
    """Return the positions of a share of the subjects, the same share of each outcome group, in their order."""
    rng, groups, rows = np.random.default_rng([seed, 17]), strata(target), []
    for value in (0, 1):
        members = rng.permutation(np.flatnonzero(groups == value))
        size = max(round(share * len(members)), least)
        if size > len(members):
            raise NotEstimableError(
                f"{least} subjects of each outcome are needed, there are {len(members)} of group {value}. "
                "Use fewer inner folds."
            )
        rows.append(members[:size])
    return np.sort(np.concatenate(rows))


def learning_curve(
    assembly: Assembly,
    names: Sequence[str],
    shares: Sequence[float],
    draws: int = 5,
    *,
    run: SignatureRun | None = None,
    **protocol: Any,
) -> pd.DataFrame:
    """Cross-validate signatures whose training parts are cut to a share of their patients.

    Every patient is still judged, by models that were fitted on fewer others; the other cohorts are judged by a model
    fitted on that share of all training patients. All patients are the assembly's own `run` by the same protocol, where
    that is given: nothing is fitted again.

    Returns
    -------
    DataFrame
        signature, judged (out of fold / other cohorts), n (training patients of the fits that judge these, on
        average), draws, value, low and high: mean and range over the draws of each size. Signatures that
        fit nothing have no rows.
    """
    rows, protocol = [], protocol | {"external": "refit"}
    for name in (name for name in names if assembly.by_name[name].learner not in GIVEN):
        for share, draw in [(part, i) for part in shares for i in range(draws if part < 1 else 1)]:
            where = {"signature": name, "draw": draw, "share": share}
            if share == 1 and run is not None:
                rows += [where | row for row in _judged_sizes(assembly, run, name)]
                continue
            try:
                cut = run_signatures(assembly.changed(wrap=_share_of(share, draw)), [name], **protocol)
            except NotEstimableError as error:  # one unlucky draw costs its own point, not the chapter
                ways = ("out of fold", "other cohorts")
                rows += [where | {"judged": judged, "value": np.nan, "reason": str(error)} for judged in ways]
                continue
            rows += [where | row for row in _judged_sizes(assembly, cut, name)]
    columns = ["signature", "draw", "share", "judged", "n", "value", "reason"]
    table = over_sizes(pd.DataFrame(rows, columns=columns))
    table.attrs["empty"] = "None of these signatures is fitted here." if names else "No learning curve is asked for."
    return table


def _judged_sizes(assembly: Assembly, run: Any, name: str) -> Iterator[dict[str, Any]]:
    """Yield the values of one run out of fold and in the other cohorts, with the patients of the fits that judge."""
    result, summary = run.results[name], run.summary.set_index("signature").loc[name]
    sizes = result.risks.loc[result.risks["repeat"] == 0, "fold"].value_counts()
    fitted = [getattr(model, "n_", summary["n"] - sizes[fold]) for fold, model in result.models[0].items()]
    yield {"judged": "out of fold", "n": np.mean(fitted), "value": summary["out_of_fold"]}
    rows = prediction_rows(name, result, assembly, run.excluded[run.excluded["signature"] == name], "refit")
    outside = rows[rows["kind"] == "external"].dropna(subset=list(assembly.outcome))
    found = discrimination(outside, assembly.outcome)["value"] if len(outside) else np.nan
    yield {"judged": "other cohorts", "n": getattr(result.refit, "n_", summary["n"]), "value": found}


def over_sizes(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean and range over the draws of each size, of a table with signature, judged, n and value.

    ``attrs["lost"]`` holds the draws without a value (signature, share, reason), where there are reasons.
    """
    known = table.dropna(subset=["value"]).astype({"n": float, "value": float})
    by = known.assign(n=known["n"].round()).groupby(["judged", "signature", "n"], sort=False)["value"]
    found = by.agg(draws="count", value="mean", low="min", high="max").reset_index()
    order = found["judged"].map({"out of fold": 0, "other cohorts": 1}).sort_values(kind="stable").index
    found = found.loc[order, ["signature", "judged", "n", "draws", "value", "low", "high"]].reset_index(drop=True)
    lost = table.reindex(columns=["signature", "share", "reason"]).dropna(subset=["reason"])
    found.attrs["lost"] = lost.drop_duplicates(["signature", "share", "reason"]).to_dict("records")
    return found


#: Draws from which a control has an interval, a test and a verdict: with 30 the standard error of their mean is below a
#: fifth of their SD, and a permutation P can reach 1/31; of fewer only mean and range are said.


def _with_gaps(assembly: Assembly) -> Iterator[tuple[str, str]]:
    """Yield the signatures whose own table has gaps, and what they are.

    Combinations learn from their parts. Tables of a thousand features are left out: there a gap has a thousand
    predictors, and the median costs a model of many features little.
    """
    for name in (s.name for s in assembly.signatures if not s.combines and s.learner not in GIVEN):
        judged_in = assembly.cohort.index[assembly.cohort["cohort"] != "segmentation"]
        table = whole_table(assembly.table(name)).reindex(judged_in)
        gaps = table[~table.isna().all(axis=1)].isna().sum()
        if gaps.any() and table.shape[1] <= MOST_COLUMNS:
            called = {key: one.label for key, one in assembly.columns.items()}
            words = [
                f"{counted(int(n), 'value')} of {called.get(str(c), c)}" for c, n in gaps[gaps > 0].head(5).items()
            ]
            more = [f"{counted(int((gaps > 0).sum()) - 5, 'further column')}"] if (gaps > 0).sum() > 5 else []
            yield name, listed([*words, *more])


def imputed(assembly: Assembly, name: str, draws: int, **protocol: Any) -> pd.DataFrame:
    """Return the predictions of a signature whose gaps are filled several times by chained equations.

    The equations are fitted in the training part of every fold, without the outcome; the model is fitted after each
    draw, and the mean of the draws' risks is taken (of log odds, where risks are probabilities of a label).

    Parameters
    ----------
    assembly : Assembly
    name : str
    draws : int
    **protocol
        Of `run_signatures`, without repeats.
    """
    one = assembly.changed(signatures=[assembly.by_name[name]])
    runs = [run_signatures(one.changed(imputer=ChainedImputer(draw=k)), **protocol).predictions for k in range(draws)]
    return _mean_risk(runs, assembly.outcome)


def _mean_risk(runs: Sequence[pd.DataFrame], outcome: Sequence[str]) -> pd.DataFrame:
    """Return the predictions of the first run with the mean risk of all; of log odds where risks are probabilities."""
    risks = np.column_stack([run["risk"].to_numpy(float) for run in runs])
    inside = len(outcome) == 1 and bool(((risks >= 0) & (risks <= 1)).all())
    mean = expit(log_odds(risks).mean(axis=1)) if inside else risks.mean(axis=1)
    return runs[0].assign(risk=mean)
