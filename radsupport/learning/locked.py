"""A locked model: fitted signatures as a file that a person can read, applied to new patients without running its code.

``model.json`` holds what turns a patient's columns into a risk: what fills a gap, harmonisation, z-score, coefficients.
Learners that are no weighted sum (machines, trees, kernels) lie beside it in ``learners.skops``, which skops reads
without running code and of which only the types in `TRUSTED` are accepted. A printed formula is the same JSON by hand.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, PositiveFloat, PrivateAttr, ValidationError
from scipy.special import expit
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from radsupport.checks import FloatArray
from radsupport.errors import InputError, Problem
from radsupport.files import written_whole
from radsupport.learning.assembly import CENTER, Assembly, whole_table
from radsupport.learning.crossval import FoldTables
from radsupport.learning.estimators import GivenRisk, GradientBoosting, NaiveBayes, PlattSVC, ScaledSVC
from radsupport.learning.linear import LinearRisk, LogOdds
from radsupport.learning.signatures import SignatureRun
from radsupport.learning.tuning import Combination, _gives_probability
from radsupport.settings.parts import Column, Part
from radsupport.stats.cox import FURTHEST
from radsupport.stats.outcome import log_odds, risk_of
from radsupport.wording import did_you_mean, listed, number, source_words

MODEL, LEARNERS = "model.json", "learners.skops"
#: Why a patient has no value of a column; see `Model.predict`.
Reasons = Mapping[tuple[str, str], str]
#: Types beyond skops' own that a file of learners may hold.
TRUSTED = frozenset(
    {
        "sklearn.tree._tree.Tree", "xgboost.core.Booster", "xgboost.sklearn.XGBClassifier",
        "sksurv.ensemble.forest.RandomSurvivalForest", "sksurv.tree.tree.SurvivalTree",
        "sksurv.ensemble.boosting.GradientBoostingSurvivalAnalysis", "sksurv.ensemble.survival_loss.CoxPH",
        "sksurv.functions.StepFunction", "sksurv.linear_model.coxph.BreslowEstimator",
        *(f"{one.__module__}.{one.__name__}" for one in (PlattSVC, ScaledSVC, NaiveBayes, GradientBoosting)),
    }
)  # fmt: skip


class Adjustment(Part):
    """ComBat of one column: its mean and SD over the training centers, and each center's shift and variance ratio."""

    mean: float
    sd: float
    shift: dict[str, float]
    scale: dict[str, float]
    unseen: Literal["error", "pooled"] = "error"

    def adjusted(self, values: FloatArray, center: pd.Series) -> FloatArray:
        """Return the column on the scale of the training centers together."""
        shift = center.map(self.shift).fillna(0.0).to_numpy(float)
        scale = center.map(self.scale).fillna(1.0).to_numpy(float)
        return self.mean + self.sd * ((values - self.mean) / self.sd - shift) / np.sqrt(scale)


class Term(Part):
    """One column as it reaches the learner: gap filled, as 0/1 of a `level`, adjusted, z-scored, weighted."""

    column: str
    level: str | None = None
    fill: float | str | None = None
    adjust: Adjustment | None = None
    mean: float = 0.0
    sd: PositiveFloat = 1.0
    coef: float = 0.0


class Member(Part):
    """One fitted model: a weighted sum of terms, or a `learner` by its name in ``learners.skops``.

    `parts` are models whose risks are columns of this one, those in `as_log_odds` as log odds. A column that was learnt
    per fold is called ``name@fold``.
    """

    terms: list[Term]
    intercept: float = 0.0
    link: Literal["identity", "logit"] = "identity"
    learner: str = ""
    parts: dict[str, Member] = {}
    as_log_odds: list[str] = []

    def given(self) -> Iterator[Term]:
        """Yield the terms whose columns have to be given, those of the parts too."""
        yield from (term for term in self.terms if term.column not in self.parts)
        for part in self.parts.values():
            yield from part.given()

    def named(self) -> Iterator[str]:
        """Yield the names of its learners in ``learners.skops``."""
        yield from [self.learner] * bool(self.learner)
        for part in self.parts.values():
            yield from part.named()

    def risk(self, table: pd.DataFrame, learners: Mapping[str, Any]) -> FloatArray:
        """Return the risk of patients who have every column, gaps or not, shape (n_subjects,)."""
        for name, part in self.parts.items():
            risk = part.risk(table, learners)
            table = table.assign(**{name: log_odds(risk) if name in self.as_log_odds else risk})
        scaled = self.scaled(table)
        if self.learner:
            return risk_of(learners[self.learner], scaled)
        score: FloatArray = self.intercept + scaled @ np.array([term.coef for term in self.terms])
        return expit(score) if self.link == "logit" else score

    def scaled(self, table: pd.DataFrame) -> FloatArray:
        """Return the terms of patients as they reach the learner, shape (n_subjects, n_terms)."""
        values = np.empty((len(table), len(self.terms)))
        plain = np.array([term.level is None for term in self.terms], dtype=bool)
        block = table[[term.column for term in self.terms if term.level is None]].to_numpy(float, na_value=np.nan)
        fill = [np.nan if term.fill is None else term.fill for term in self.terms if term.level is None]
        values[:, plain] = np.where(np.isnan(block), np.array(fill, dtype=float), block)
        for i, term in enumerate(self.terms):
            if term.level is not None:
                column = table[term.column]
                values[:, i] = (column.where(column.notna(), str(term.fill)).astype(str) == term.level).to_numpy(float)
            if term.adjust is not None:
                values[:, i] = term.adjust.adjusted(values[:, i], table[CENTER].astype(str))
        return np.asarray((values - [term.mean for term in self.terms]) / [term.sd for term in self.terms], dtype=float)


class Range(Part):
    """What a column was in training: `low` to `high`, or `levels`."""

    low: float | None = None
    high: float | None = None
    levels: list[str] = []

    def excess(self, value: Any) -> str:
        """Return a value that lies outside, with the range; empty where it lies inside."""
        if self.levels:
            return "" if str(value) in self.levels else f"{value} (training: {', '.join(self.levels)})"
        if self.low is None or self.high is None or self.low <= float(value) <= self.high:
            return ""
        return f"{number(float(value))} (training: {number(self.low)} to {number(self.high)})"


class Translation(Part):
    """From risk to probability: a logistic or Cox regression on the risk, or on its log odds; else the same for all.

    The risk itself is the probability where `as_given`. Of a Cox regression `center` is the mean risk, `times` (months)
    and `hazard` the cumulative baseline hazard there; nothing is said beyond `end`.
    """

    rule: str = ""
    as_given: bool = False
    slope: float = 0.0
    intercept: float = 0.0
    center: float = 0.0
    on_log_odds: bool = False
    times: list[float] = []
    hazard: list[float] = []
    end: float | None = None

    def score(self, risk: FloatArray) -> FloatArray:
        """Return the log odds of the event, or the log hazard against the baseline, shape (n,)."""
        if self.as_given:
            return log_odds(risk)
        entered = log_odds(risk) if self.on_log_odds else np.asarray(risk, dtype=float)
        return self.intercept + self.slope * (entered - self.center)

    def probability(self, risk: FloatArray, times: Any = None) -> FloatArray:
        """Return the probability of the event, shape (n,); by each of the times (months), shape (n, m)."""
        if times is None or self.as_given:
            return risk if self.as_given else expit(self.score(risk))
        wanted = np.atleast_1d(np.asarray(times, dtype=float))
        steps = np.concatenate([[0.0], self.hazard])[np.searchsorted(self.times, wanted, side="right")]
        found = 1 - np.exp(-np.outer(np.exp(np.minimum(self.score(risk), FURTHEST)), steps))
        found[:, wanted > (np.inf if self.end is None else self.end)] = np.nan
        return found


class Formula(Part):
    """One signature: the mean of its `members`, its threshold, and what its columns were in training."""

    members: list[Member] = Field(min_length=1)
    n: int = 0
    events: int = 0
    threshold: float | None = None
    group_threshold: float | None = None
    probability: Translation | None = None
    ranges: dict[str, Range] = {}
    sources: list[str] = []
    description: str = ""

    @property
    def needed(self) -> list[str]:
        """The columns that have to be given."""
        terms = [term for member in self.members for term in member.given()]
        return list(dict.fromkeys([term.column for term in terms] + [CENTER for term in terms if term.adjust]))

    def contributions(self, table: pd.DataFrame) -> pd.DataFrame | None:
        """Return what each term adds to the score of patients; none of what is no single weighted sum."""
        one, several = self.members[0], len(self.members) > 1
        added = None if several or one.learner or one.parts else one.scaled(table) * [term.coef for term in one.terms]
        return None if added is None else pd.DataFrame(added, table.index)


class Model(Part):
    """A locked model of a study, or one that was printed.

    `about` says where it comes from (study, licence, versions, settings hash …), `settings` holds the study file, by
    which scans are measured; `sources` lists the columns of each feature source, of which a patient needs one at least;
    `left_out` gives the reason of each signature that could not be written.
    """

    format: Literal["radsupport model 1"] = "radsupport model 1"
    outcome: list[str] = ["label"]
    horizons: list[float] = []
    signatures: dict[str, Formula]
    columns: dict[str, Column] = {}
    sources: dict[str, list[str]] = {}
    left_out: dict[str, str] = {}
    about: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    _folder: Path | None = PrivateAttr(default=None)

    @cached_property
    def learners(self) -> dict[str, Any]:
        """The learners that are no weighted sum, by name."""
        if self._folder is None or not (path := self._folder / LEARNERS).is_file():
            return {}
        from skops import io  # takes seconds to load, and most chapters lock nothing
        from skops.io.exceptions import UntrustedTypesFoundException

        odd: list[str] = []
        found: dict[str, Any] = {}
        try:
            odd = sorted(set(io.get_untrusted_types(file=path)) - TRUSTED)
            found = {} if odd else io.load(path, trusted=sorted(TRUSTED))
        except (zipfile.BadZipFile, UntrustedTypesFoundException, KeyError, ValueError) as error:
            raise InputError(f"{path} is no file of learners.", [Problem(str(error), file=str(path))]) from error
        if odd:
            problems = [Problem("a type that is not read", "a learner of this package", value=one) for one in odd]
            raise InputError(f"{path} can not be used.", problems)
        return found

    def predict(self, table: pd.DataFrame, problems: Reasons | None = None) -> pd.DataFrame:
        """Return the prediction of every signature for every patient.

        Parameters
        ----------
        table : DataFrame, indexed by subject
            The columns of the signatures; numbers, or texts of categories; NaN where a value is missing.
        problems : mapping of (subject, column) to str, optional
            Why a patient has no value of a column; of all columns where it is empty, of a phase's where it is
            ``<phase>__``. Such a value is not taken as missing: who needs it is not predicted.

        Returns
        -------
        DataFrame
            subject, signature, risk, threshold, group_threshold (locked), high (above the first that there is),
            probability or ``by_<months>``, outside (values outside the training range), filled (columns whose gap was
            filled), reason (why there is no risk).
        """
        return pd.concat(
            [self._rows(name, one, table, problems or {}) for name, one in self.signatures.items()], ignore_index=True
        )

    def values(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the values that patients are predicted by, beside what the columns were in training.

        Returns
        -------
        DataFrame
            subject, signature, column, value (as given), low, high, levels (of training), is (inside, outside, missing:
            filled as in training).
        """
        rows = []
        for name, one in self.signatures.items():
            for column, span in ((c, span) for c, span in one.ranges.items() if c in table):
                span_of = {"low": span.low, "high": span.high, "levels": ", ".join(span.levels)}
                for subject, value in table[column].items():
                    known = "missing" if pd.isna(value) else "outside" if span.excess(value) else "inside"
                    place = {"subject": subject, "signature": name, "column": column, "value": value}
                    rows.append(place | span_of | {"is": known})
        columns = ["subject", "signature", "column", "value", "low", "high", "levels", "is"]
        return pd.DataFrame(rows, columns=columns)

    def described(self) -> pd.DataFrame:
        """Return what each signature is.

        Returns
        -------
        DataFrame
            signature, models (whose mean it is), columns, n and events (of training; missing where nobody says),
            threshold, group_threshold, translation (from risk to probability).
        """
        rows = [
            {"signature": name, "models": len(one.members), "columns": len(one.needed), "n": one.n or np.nan,
             "events": one.events if one.n else np.nan, "threshold": one.threshold,
             "group_threshold": one.group_threshold,
             "translation": "none in the file" if one.probability is None else one.probability.rule or "as given"}
            for name, one in self.signatures.items()
        ]  # fmt: skip
        return pd.DataFrame(rows).dropna(axis=1, how="all")

    def weights(self, name: str) -> pd.DataFrame:
        """Return a signature that is one weighted sum of columns, its intercept first; else why there is nothing.

        Returns
        -------
        DataFrame
            column, level, fill, mean, sd, coefficient (per SD); no rows, with the reason in ``attrs["empty"]``, of a
            mean of models, a learner without weights, or a combination.
        """
        first, *others = self.signatures[name].members
        rows = [{"column": "intercept", "coefficient": first.intercept}] if first.intercept else []
        rows += [{"coefficient": term.coef} | term.model_dump(exclude={"coef", "adjust"}) for term in first.terms]
        plain = not (others or first.learner)
        order = ["column", "level", "fill", "mean", "sd", "coefficient"]
        table = pd.DataFrame(rows if plain else [], columns=order).dropna(axis=1, how="all")
        table.attrs["empty"] = f"**{name}** is no single weighted sum; its numbers are in the model's files."
        return table

    def _rows(
        self, name: str, one: Formula, table: pd.DataFrame, problems: Mapping[tuple[str, str], str]
    ) -> pd.DataFrame:
        reason = self._reasons(one, table)
        for (subject, column), text in problems.items():
            of_phase = column.endswith("__") and any(key.startswith(column) for key in one.needed)
            if subject in reason.index and (column == "" or column in one.needed or of_phase):
                reason[subject] = text
        usable, risk = (reason == "").to_numpy(), np.full(len(table), np.nan)
        if usable.any():
            risk[usable] = np.mean([member.risk(table[usable], self.learners) for member in one.members], axis=0)
        rows = pd.DataFrame({"subject": table.index, "signature": name, "risk": risk})
        for key, value in (("threshold", one.threshold), ("group_threshold", one.group_threshold)):
            rows[key] = np.nan if value is None else value
        limit = one.threshold if one.threshold is not None else one.group_threshold
        rows["high"] = pd.array(risk > (np.nan if limit is None else limit), "boolean")
        rows.loc[~usable | (limit is None), "high"] = pd.NA
        if one.probability is not None:
            found = one.probability.probability(risk, self.horizons if len(self.outcome) == 2 else None)
            names = [f"by_{month:g}" for month in self.horizons] if len(self.outcome) == 2 else ["probability"]
            rows[names] = found.reshape(len(table), len(names))
        known = {column: span for column, span in one.ranges.items() if column in table}
        notes = [_notes(known, *one) for one in zip(table[list(known)].to_numpy(object), usable.tolist(), strict=True)]
        return rows.assign(outside=[a for a, _ in notes], filled=[b for _, b in notes], reason=reason.to_numpy())

    def _reasons(self, one: Formula, table: pd.DataFrame) -> pd.Series:
        """Return why patients have no prediction, by subject; empty where they have one."""
        found = pd.Series("", table.index, dtype=object)
        absent = [column for column in one.needed if column not in table]
        if absent:
            return found + f"the table has no column {listed(absent, 3)}"

        def tell(gone: pd.Series, words: str) -> None:
            nonlocal found
            found = found.mask((found == "") & gone, words)

        for source in one.sources:
            own = [column for column in self.sources.get(source, []) if column in table]
            tell(table[own].isna().all(axis=1), f"no {source_words(source)} features")
        for term in (term for member in one.members for term in member.given()):
            if term.fill is None:
                tell(table[term.column].isna(), f"no value of {term.column}")
            if term.adjust is not None and term.adjust.unseen == "error":
                new = ~table[CENTER].astype(str).isin(list(term.adjust.shift))
                tell(new, f"a center that harmonisation was not fitted on: it knows {listed(list(term.adjust.shift))}")
        return found


def _notes(ranges: Mapping[str, Range], values: Any, predicted: bool) -> tuple[str, str]:
    """Return what of a patient lies outside training, and what is missing and was filled for a prediction."""
    given = dict(zip(ranges, values, strict=True))
    gaps = [name for name, value in given.items() if pd.isna(value)]
    texts = {name: span.excess(given[name]) for name, span in ranges.items() if name not in gaps}
    return "; ".join(f"{name} {text}" for name, text in texts.items() if text), ", ".join(gaps) * predicted


def read_model(path: Path) -> Model:
    """Read a locked model, or a printed formula that somebody wrote down as JSON.

    Parameters
    ----------
    path : Path
        The JSON file, or the folder that holds ``model.json``.

    Raises
    ------
    InputError
        No such file, no JSON, or keys and values that do not belong there; all at once.
    """
    path = Path(path) / MODEL if Path(path).is_dir() else Path(path)
    if not path.is_file():
        remedy = "run chapter 05 of the study, or name the model's folder or JSON file"
        raise InputError("There is no such model.", [Problem("no such file", remedy=remedy, file=str(path))])
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        model = Model.model_validate(plain)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no JSON file.", [Problem(str(error), file=str(path))]) from error
    except ValidationError as error:
        raise InputError(f"{path} is no model.", [_problem(path, one) for one in error.errors()]) from error
    model._folder = path.parent
    asked = {name for one in model.signatures.values() for member in one.members for name in member.named()}
    absent = sorted(asked - set(model.learners)) if asked else []
    if absent:
        what = f"{len(absent)} learners are not in {LEARNERS}, such as {absent[0]}"
        raise InputError(f"{path} is not complete.", [Problem(what, remedy="copy the whole folder", file=str(path))])
    return model


def _problem(path: Path, error: Any) -> Problem:
    place, value = ".".join(map(str, error["loc"])), error.get("input")
    shown = "" if isinstance(value, dict | list) else str(value)
    known = {"extra_forbidden": "unknown key", "missing": "this key is missing"}
    remedy = did_you_mean(str(error["loc"][-1]), _KEYS, "remove it") if error["type"] == "extra_forbidden" else ""
    return Problem(known.get(error["type"], error["msg"]), "", remedy, str(path), column=place, value=shown)


_KEYS = sorted(
    {key for one in (Model, Formula, Member, Term, Range, Translation, Adjustment) for key in one.model_fields}
)


def write_model(
    folder: Path,
    run: SignatureRun,
    assembly: Assembly,
    *,
    external: Literal["mean_of_folds", "refit"],
    thresholds: pd.Series,
    group_thresholds: pd.Series,
    probabilities: Mapping[str, Mapping[str, Any]],
    horizons: Any = (),
    about: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    beside: Path | None = None,
) -> Model:
    """Write every signature of a run that can be written, and read it back.

    Parameters
    ----------
    folder : Path
        Gets ``model.json`` and, where learners need it, ``learners.skops``.
    external : {"mean_of_folds", "refit"}
        Which models predict other cohorts in the run, and so new patients.
    thresholds, group_thresholds : Series by signature
        Locked cut-offs: for classes, and for risk groups; a signature may have none.
    probabilities : mapping of signature to mapping
        `Translation` of each risk, as ``evaluate.lock(...)[name].plain`` gives it.
    horizons : sequence of float
        Months.
    about, settings : mapping
        As in `Model`.
    beside : Path, optional
        Weights of the networks, copied where a signature needs the source ``deep``.

    Returns
    -------
    Model
        As `read_model` reads it; ``left_out`` names the signatures that can not be written, with the reason.
    """
    learners: dict[str, Any] = {}
    formulas, left_out = {}, {}
    for name in (signature.name for signature in run.signatures):
        formula, own, odd = _writable(name, run, assembly, external)
        if formula is None:
            left_out[name] = f"its learner can not be written without code: {', '.join(odd)}"
            continue
        learners |= own
        limits = {"threshold": thresholds.get(name), "group_threshold": group_thresholds.get(name)}
        found = probabilities.get(name)
        translation = None if found is None else Translation.model_validate(found)
        formulas[name] = formula.model_copy(update=limits | {"probability": translation})
    used = {column for one in formulas.values() for column in one.ranges}
    needed = {source for one in formulas.values() for source in one.sources}
    model = Model(
        outcome=list(assembly.outcome), horizons=[float(month) for month in horizons], signatures=formulas,
        columns={name: column for name, column in assembly.columns.items() if name in used},
        sources={source: _columns(assembly, source, external) for source in sorted(needed)}, left_out=left_out,
        about=dict(about or {}), settings=dict(settings or {}),
    )  # fmt: skip
    _write(folder, model, learners, beside)
    return read_model(folder)


def _writable(
    name: str, run: SignatureRun, assembly: Assembly, external: str
) -> tuple[Formula | None, dict[str, Any], list[str]]:
    """Return a signature with its learners, or none and what of it only code could read."""
    from skops import io  # takes seconds to load, and most chapters lock nothing
    from skops.io.exceptions import UnsupportedTypeException

    own: dict[str, Any] = {}
    try:
        formula = _formula(name, run, assembly, external, own)
        odd = sorted(set(io.get_untrusted_types(data=io.dumps(own))) - TRUSTED) if own else []
    except (UnsupportedTypeException, InputError, TypeError) as error:
        return None, {}, [str(error)]
    return (None, {}, odd) if odd else (formula, own, [])


def _write(folder: Path, model: Model, learners: Mapping[str, Any], beside: Path | None) -> None:
    """Write a model, its learners and the weights of its networks; what an earlier model left there goes."""
    for old in (LEARNERS, *([beside.name] if beside is not None else [])):
        (folder / old).unlink(missing_ok=True)
    if beside is not None and beside.is_file() and "deep" in model.sources:
        with written_whole(folder / beside.name) as partial:
            shutil.copyfile(beside, partial)
    if learners:
        from skops import io

        with written_whole(folder / LEARNERS) as partial:
            io.dump(learners, partial)
    with written_whole(folder / MODEL) as partial:
        partial.write_text(model.model_dump_json(indent=1, exclude_defaults=True) + "\n", encoding="utf-8")


def _formula(
    name: str, run: SignatureRun, assembly: Assembly, external: str, learners: dict[str, Any]
) -> Formula:  # fmt: skip
    result, table = run.results[name], assembly.training(name)[0]
    fitted = [(None, result.refit)] if external == "refit" else list(result.models[0].items())
    sources = assembly.sources_of(name)
    members, ranges = [], dict[str, Range]()
    for fold, model in fitted:
        learnt = [s for s in sources if isinstance(assembly.sources[s], FoldTables) and fold is not None]
        keys = {str(c): f"{c}@{fold}" for s in learnt for c in whole_table(assembly.sources[s])}
        members.append(_member(model, f"{name}/{fold}", keys, learners))
        own = table.fold(fold) if isinstance(table, FoldTables) and fold is not None else whole_table(table)
        back = {key: column for column, key in keys.items()}
        needed = dict.fromkeys(term.column for term in members[-1].given())
        ranges |= {key: _range(own[back.get(key, key)]) for key in needed}
    row = run.summary.set_index("signature").loc[name]
    return Formula(
        members=members, n=int(row["n"]), events=int(row["events"]), ranges=ranges, sources=sorted(sources),
        description=next(one.description for one in run.signatures if one.name == name),
    )  # fmt: skip


def _columns(assembly: Assembly, source: str, external: str) -> list[str]:
    """Return the columns of a source as new patients have them."""
    table = assembly.sources[source]
    names = [str(name) for name in whole_table(table).columns]
    folds = table.by_fold if isinstance(table, FoldTables) and external != "refit" else ()
    return [f"{name}@{fold}" for fold in folds for name in names] or names


def _range(column: pd.Series) -> Range:
    values = column.dropna()
    if not pd.api.types.is_numeric_dtype(column):
        return Range(levels=sorted(map(str, values.unique())))
    return Range(low=float(values.min()), high=float(values.max())) if len(values) else Range()


def _member(model: Any, name: str, keys: Mapping[str, str], learners: dict[str, Any]) -> Member:
    """Return a fitted estimator as plain values; a learner that is no weighted sum is put among the learners."""
    model = getattr(model, "model_", model)  # of a choice, the chosen one
    if isinstance(model, Combination):
        parts = {part: _member(one, f"{name}/{part}", keys, learners) for part, _, one in model.parts_}
        told = [] if model._survival else [part for part, _, one in model.parts_ if _gives_probability(one)]
        return _member(model.meta_, name, {}, learners).model_copy(update={"parts": parts, "as_log_odds": told})
    steps = dict(model.pipeline_.steps)
    terms, learner = _terms(model.features_, steps, keys), steps["learner"]
    if not isinstance(learner, LogOdds | LinearRisk | GivenRisk | LinearDiscriminantAnalysis):
        learners[name] = learner
        return Member(terms=terms, learner=name)
    link: Literal["identity", "logit"] = "logit" if hasattr(learner, "decision_function") else "identity"
    score = learner.decision_function if link == "logit" else learner.predict
    at = score(np.vstack([np.zeros(len(terms)), np.eye(len(terms))]))  # linear: its intercept, and each weight
    weighted = [term.model_copy(update={"coef": float(b - at[0])}) for term, b in zip(terms, at[1:], strict=True)]
    kept = [term for term in weighted if term.coef != 0]
    return Member(terms=kept, intercept=float(at[0]), link=link)


def _terms(features: list[str], steps: Mapping[str, Any], keys: Mapping[str, str]) -> list[Term]:
    """Return how each column that reaches the learner is made of a patient's columns."""
    if "imputation" not in steps:
        return [Term(column=keys.get(name, name)) for name in features]
    fill, combat, z = steps["imputation"].fill_, steps.get("harmonisation"), steps["z_score"]
    coded = {f"{c}={level}": (c, str(level)) for c, levels in steps["one_hot"].levels_.items() for level in levels}
    place = {name: i for i, name in enumerate(getattr(combat, "features_", ()))}
    terms = []
    for i, name in enumerate(features):
        column, level = coded.get(name, (name, None))
        value = fill[column]
        adjust = combat.as_numbers(place[name]) if combat is not None else None
        terms.append(
            Term(
                column=keys.get(column, column), level=level, fill=value if level is None else str(value),
                adjust=None if adjust is None else Adjustment.model_validate(adjust),
                mean=float(z.mean_[i]), sd=float(z.scale_[i]),
            )
        )  # fmt: skip
    return terms
