"""The rigour of an executed run, rule by rule: each reads what the run recorded, none what somebody declares.

Not to be confused with `gate`, which searches the site for identifiers.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from radsupport.book.text import literal
from radsupport.errors import InputError
from radsupport.files import sha256, write_changed
from radsupport.settings.study import Study
from radsupport.stats import sample_size
from radsupport.wording import counted, fixed, listed

PASSED, FAILED, NONE = "passed", "failed", "not applicable"
FILE = "rigour.json"
#: Checksums of the predictions that cohorts outside training have met.
SCORED = "external_scored.txt"
#: Events per candidate parameter, and expected shrinkage, below which a model is called too hungry (Riley et al. 2020).
FEWEST_EVENTS, LEAST_SHRINKAGE = 10, 0.9
CHANCE = 0.05  # share of intervals that may lie above 0.5 where nothing is planted
_PREPARES = ("imputation", "harmonisation")
_CHOOSES = ("univariate", "cox", "lasso")
#: Candidates from which a list that is the same in every fold can not be chance any more.
MANY = 20


@dataclass(frozen=True)
class Evidence:
    """What a run left behind.

    Attributes
    ----------
    record : DataFrame
        fold_record.csv (`SignatureRun.record`).
    predictions, cohort : DataFrame
        predictions.parquet and cohort.parquet.
    numbers : mapping
        Published by all chapters.
    thresholds : mapping of signature to float
        Of the locked model.
    recomputed : mapping of signature to float
        The same rule on the training rows alone.
    locked_at, judged_at : int
        When the model was locked and when chapter 06 finished, ns; 0 where unknown.
    apart : float
        Largest difference of a risk that was computed a second time; NaN where none was.
    best : str
    outcome : tuple of str
    synthetic : bool
        Whether patients were generated.
    horizon : float
        First horizon in months.
    versions : int
        Different predictions that the other cohorts have met, in this run and in all others of the study here.
    effect : float
        Planted in the patients, per SD of the latent; 0 in real ones.
    """

    record: pd.DataFrame
    predictions: pd.DataFrame
    cohort: pd.DataFrame
    numbers: Mapping[str, Any] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    recomputed: Mapping[str, float] = field(default_factory=dict)
    locked_at: int = 0
    judged_at: int = 0
    apart: float = math.nan
    best: str = ""
    outcome: tuple[str, ...] = ("label",)
    synthetic: bool = False
    horizon: float = 36.0
    versions: int = 1
    effect: float = 0.0

    def value(self, key: str) -> Any:
        """Return a published value, None where there is none."""
        return self.numbers.get(key, {}).get("value")


@dataclass(frozen=True)
class Finding:
    """What a run shows of one rule."""

    rule: str
    shown: str
    verdict: str


Rule = Callable[[Evidence], tuple[str, str]]
RULES: dict[str, Rule] = {}


def _rule(name: str) -> Callable[[Rule], Rule]:
    def kept(function: Rule) -> Rule:
        RULES[name] = function
        return function

    return kept


def judge(evidence: Evidence) -> list[Finding]:
    """Return the finding of every rule."""
    return [Finding(name, *function(evidence)) for name, function in RULES.items()]


def _held(holds: bool) -> str:
    return PASSED if holds else FAILED


def _folds(evidence: Evidence) -> pd.DataFrame:
    return evidence.record[evidence.record["fold"].notna()]


def _using(table: pd.DataFrame, steps: Sequence[str]) -> pd.DataFrame:
    words = table["steps"].fillna("").astype(str).str.split()
    return table[pd.Series([any(step in own for step in steps) for own in words], table.index, dtype=bool)]


@_rule("Features are selected inside the folds")
def _selection(evidence: Evidence) -> tuple[str, str]:
    """Each fold's list differs from one global list, as lists do that are chosen from other patients."""
    chosen = _using(evidence.record, _CHOOSES)
    chosen = chosen[(chosen["given"] > chosen["n_features"]) & (chosen["given"] >= MANY)]
    if chosen.empty:
        return f"no signature chooses by the outcome among {MANY} columns or more", NONE
    lists = chosen.groupby(["signature", "object"])["features"].nunique().reset_index()
    same = lists.loc[lists["features"] == 1, "signature"].astype(str).tolist()
    words = f"{int(lists['features'].sum())} different lists of features in {len(chosen)} fits"
    return words + f"; one global list in every fold: {listed(same)}" * bool(same), _held(not same)


@_rule("No fitted object was given a held-out patient")
def _disjoint(evidence: Evidence) -> tuple[str, str]:
    """Subjects that each object was fitted on and those it is judged on, as the objects themselves kept them."""
    folds = _folds(evidence)
    if folds.empty:
        return "no fold has a record of what was fitted", NONE
    shared, strange = int(folds["shared"].sum()), int(folds["strange"].sum())
    words = (  # no number first: behind "patient" it would read as one's id
        f"among {counted(len(folds), 'fitted object')}, {shared} held-out and {strange} other patients were met"
    )
    return words, _held(not shared and not strange and bool((folds["n_held_out"] > 0).all()))


@_rule("Imputation and harmonisation are fitted inside the folds")
def _prepared(evidence: Evidence) -> tuple[str, str]:
    """The objects that hold these steps were fitted on the training part of their fold and nobody else."""
    folds = _using(_folds(evidence), _PREPARES)
    if folds.empty:
        return "no fold imputes or harmonises", NONE
    leaking = (folds["shared"] > 0) | (folds["strange"] > 0)
    kinds = [step for step in _PREPARES if len(_using(folds, [step]))]
    return f"{listed(kinds)} in {len(folds)} fits; {int(leaking.sum())} met other patients", _held(not leaking.any())


@_rule("Other cohorts are scored once")
def _once(evidence: Evidence) -> tuple[str, str]:
    """One prediction of each signature for a patient outside training, under one set of settings."""
    outside = evidence.predictions[evidence.predictions["kind"] == "external"]
    if outside.empty:
        return "nobody outside the training cohort", NONE
    most = int(outside.groupby(["signature", "subject"]).size().max())
    people = counted(outside["subject"].nunique(), "patient")
    words = f"{people} outside, at most {counted(most, 'prediction')} of a signature for each; scored under "
    words += counted(evidence.versions, "set of settings", "sets of settings")
    return words, _held(most == 1 and evidence.versions == 1)


@_rule("The threshold is locked before other cohorts are judged")
def _locked(evidence: Evidence) -> tuple[str, str]:
    """The locked model's thresholds are those of the training rows alone, and older than the judgement."""
    if not evidence.thresholds:
        return "there is no locked model", NONE
    odd = [
        name for name, value in evidence.thresholds.items()
        if not math.isclose(value, evidence.recomputed.get(name, math.nan), rel_tol=1e-9, abs_tol=1e-12)
    ]  # fmt: skip
    before = 0 < evidence.locked_at < evidence.judged_at
    words = (
        f"{len(evidence.thresholds)} thresholds, {len(evidence.thresholds) - len(odd)} equal to those of the training "
    )
    words += f"rows alone; locked {'before' if before else 'not before'} the chapter on validation ended"
    return words, _held(before and not odd)


def _learnt(evidence: Evidence) -> pd.DataFrame:
    """Return the rows of the training patients whom the chosen signature was fitted to, with their outcome."""
    rows = evidence.predictions[evidence.predictions["signature"] == evidence.best]
    return rows[rows["kind"] == "out_of_fold"].dropna(subset=list(evidence.outcome))


def _hunger(evidence: Evidence) -> tuple[int, int, int]:
    """Return training patients, events and candidate parameters of the chosen signature."""
    own, train = evidence.record[evidence.record["signature"] == evidence.best], _learnt(evidence)
    parts = own[own["fold"].eq(own["fold"].min())].drop_duplicates(["object"])
    parts = parts if len(parts) == 1 else parts[parts["object"] != "model"]
    return len(train), int(train[evidence.outcome[-1]].sum()) if len(train) else 0, int(parts["given"].sum())


def _needed(evidence: Evidence, candidates: int) -> sample_size.SampleSize:
    """Return the size that Riley's criteria ask for, with the outcome as frequent as in the training patients."""
    train = _learnt(evidence)
    time = train["time"] if "time" in evidence.outcome else None
    return sample_size.for_patients(candidates, train[evidence.outcome[-1]], time, evidence.horizon)


@_rule("Ten events or more per candidate parameter, shrinkage 0.9 or more")
def _events(evidence: Evidence) -> tuple[str, str]:
    """Candidates are all columns that selection chooses from."""
    n, events, candidates = _hunger(evidence)
    if not candidates or not 0 < events < n:
        return "nothing is fitted to this outcome", NONE
    shrinkage = sample_size.expected_shrinkage(n, candidates, _needed(evidence, candidates).r2)
    words = f"{evidence.best}: {counted(events, 'event')} and {counted(candidates, 'candidate')}, "
    words += f"{events / candidates:.2g} each; expected shrinkage {fixed(shrinkage)}"
    return words, _held(events >= FEWEST_EVENTS * candidates and shrinkage >= LEAST_SHRINKAGE)


@_rule("As many patients as Riley's criteria ask for")
def _patients(evidence: Evidence) -> tuple[str, str]:
    """With 15% of the largest possible R2, where nothing better is known."""
    n, events, candidates = _hunger(evidence)
    if not candidates or not 0 < events < n:
        return "nothing is fitted to this outcome", NONE
    try:
        size = _needed(evidence, candidates)
    except InputError as error:
        return str(error.message), NONE
    words = f"{evidence.best}: {counted(n, 'training patient')}, {size.required} needed for "
    words += counted(candidates, "candidate")
    return words, _held(n >= size.required)


@_rule("Calibration is shown")
def _calibrated(evidence: Evidence) -> tuple[str, str]:
    """Mean predicted and observed risk of the chosen signature are published."""
    keys = [f"headline_{where}_predicted" for where in ("train", "external")]
    found = [key for key in keys if evidence.value(key) is not None]
    return f"calibration in {counted(len(found), 'cohort')} of the headlines", _held(bool(found))


@_rule("A comparator stands beside the signature")
def _compared(evidence: Evidence) -> tuple[str, str]:
    """Paired differences from volume alone and from what needs no image."""
    found = [key for key in evidence.numbers if key.startswith("beside_")]
    return f"{counted(len(found), 'paired difference')} from volume alone and from what needs no image", _held(
        bool(found)
    )


@_rule("Permuted outcomes are not predicted")
def _permuted(evidence: Evidence) -> tuple[str, str]:
    """The mean over permuted runs is not above 0.5."""
    found = {key.partition(":")[2]: one for key, one in evidence.numbers.items() if key.startswith("permuted_mean:")}
    told = {
        name: one for name, one in found.items() if one.get("ci_low") is not None and one["ci_low"] == one["ci_low"]
    }
    if not told:
        return f"{'too few runs for a verdict' if found else 'no control was run'}", NONE
    words = "; ".join(f"{name} {fixed(one['value'])} ({fixed(one['ci_low'])}–{fixed(one['ci_high'])})"
                      for name, one in told.items())  # fmt: skip
    return f"mean over permuted runs: {words}", _held(all(one["ci_low"] <= 0.5 for one in told.values()))


@_rule("Where nothing is planted, nothing is found")
def _planted(evidence: Evidence) -> tuple[str, str]:
    """Outcomes that the generator drew without effect: means above 0.5 would show a leak, those below do not."""
    one = evidence.numbers.get("null_means_above_half")
    if one is None or one.get("value") is None:
        return "too few draws for a verdict" if evidence.synthetic else "the patients are real", NONE
    words = f"{one['value']} of {one['n']} means over draws without effect lie above 0.5"
    return words, _held(one["value"] <= CHANCE * one["n"])


@_rule("Where something is planted, it is found")
def _found(evidence: Evidence) -> tuple[str, str]:
    """The chosen signature ranks training patients of a synthetic cohort, out of fold, better than chance."""
    one = evidence.numbers.get("headline_train")
    if not evidence.effect or one is None:
        return "nothing was planted" if not evidence.effect else "no signature was judged", NONE
    name = evidence.value("headline_train_signature") or evidence.best
    words = f"{name}: {fixed(one['value'])} ({fixed(one['ci_low'])}–{fixed(one['ci_high'])}) out of fold"
    return words, _held(one["ci_low"] > 0.5)


@_rule("Voxels without their places predict less")
def _shuffled(evidence: Evidence) -> tuple[str, str]:
    """The control images of chapter 09."""
    keeps, words = evidence.value("keeps_on_control_images"), evidence.value("control_images_words")
    if words is None:
        return "no control images were measured in this run", NONE
    return str(words), NONE if keeps is None else _held(not keeps)


@_rule("A second run gives the same")
def _again(evidence: Evidence) -> tuple[str, str]:
    """One fold, fitted again from the same tables, predicts its patients as the run did."""
    if not evidence.apart >= 0:
        return "nothing was fitted a second time", NONE
    words = f"one fold fitted again: risks differ by at most {evidence.apart:.1g}" if evidence.apart else (
        "one fold fitted again: the same risks")  # fmt: skip
    return words, _held(evidence.apart <= 1e-9)


def of_run(
    study: Study,
    results: Path,
    numbers: Mapping[str, Any],
    predictions: pd.DataFrame,
    cohort: pd.DataFrame,
    best: str,
    outcome: tuple[str, ...],
) -> pd.DataFrame:
    """Judge what a run recorded, fit one fold a second time, and write the findings (`write`).

    Parameters
    ----------
    study : Study
    results : Path
    numbers : mapping
        Published by the chapters so far.
    predictions, cohort : DataFrame
        predictions.parquet and cohort.parquet.
    best : str
        The signature whose size is judged.
    outcome : tuple of str

    Returns
    -------
    DataFrame
        rule, shown, verdict.
    """
    from radsupport import evaluate, learning  # the site need not wait for the learners
    from radsupport.learning.record import RECORD, again
    from radsupport.learning.signatures import first_fitted

    settings, signatures = study.modelling, study.signatures
    assembly = learning.assemble(
        results, signatures, study.columns, cohort, outcome=outcome, grid=settings.grid,
        icc_threshold=getattr(study.radiomics, "icc_threshold", None) or 0.8, unseen_center=settings.unseen_center,
        folds=settings.folds, pooling=settings.pooling,
    )  # fmt: skip
    name = next(iter(settings.controls), first_fitted(signatures, best))
    apart = again(assembly, name, predictions, inner_folds=settings.inner_folds, seed=study.seed)
    train = evaluate.judged(predictions, outcome, cohorts=["train"])
    found_again = evaluate.threshold(train, study.validation.threshold, outcome)
    recomputed = {str(key): float(value) for key, value in found_again.items()}
    record, model, judged = (results / one for one in ("fold_record.csv", "model/model.json", "06_validation.json"))
    locked = json.loads(model.read_text(encoding="utf-8"))["signatures"] if model.is_file() else {}
    locked_at, judged_at = (path.stat().st_mtime_ns if path.is_file() else 0 for path in (model, judged))
    horizons = study.endpoint.survival.horizons_months if study.endpoint.survival else [36.0]
    found = judge(Evidence(
        pd.read_csv(record) if record.is_file() else pd.DataFrame(columns=["signature", *RECORD]), predictions, cohort,
        numbers, {key: one["threshold"] for key, one in locked.items() if one.get("threshold") is not None}, recomputed,
        locked_at, judged_at, apart, best, outcome, study.is_synthetic, horizons[0], _versions(results, predictions),
        study.synthetic.effect if study.synthetic else 0.0,
    ))  # fmt: skip
    return write(results, found)


def _versions(results: Path, predictions: pd.DataFrame) -> int:
    """Note which predictions the other cohorts have met in this run; return how many there are in all of a study's."""
    outside = predictions.loc[predictions["kind"] == "external", ["signature", "subject", "risk"]]
    if outside.empty:
        return 0
    rows = outside.round(6).sort_values(["signature", "subject"]).to_csv(index=False)
    kept = results / SCORED
    seen = kept.read_text(encoding="utf-8").split() if kept.is_file() else []
    write_changed(kept, "\n".join(dict.fromkeys([*seen, hashlib.sha256(rows.encode("utf-8")).hexdigest()])) + "\n")
    study = results.name.partition("@")[0]
    runs = [one for one in results.parent.glob(f"*/{SCORED}") if one.parent.name.partition("@")[0] == study]
    return len({line for one in runs for line in one.read_text(encoding="utf-8").split()})


def write(results: Path, found: Sequence[Finding]) -> pd.DataFrame:
    """Write the findings to ``rigour.json`` with the hash of the model that they are of, and return them as a table."""
    model = results / "model" / "model.json"
    content = {"model_sha256": sha256(model) if model.is_file() else "", "rules": [asdict(one) for one in found]}
    write_changed(results / FILE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return pd.DataFrame([asdict(one) for one in found])


def read(results: Path) -> list[Finding]:
    """Return the findings that a run wrote; none where it wrote none."""
    path = results / FILE
    rules = json.loads(path.read_text(encoding="utf-8"))["rules"] if path.is_file() else []
    return [Finding(**one) for one in rules]


def markdown(found: Sequence[Finding]) -> list[str]:
    """Return the findings as lines of a Markdown table with its heading; nothing without any."""
    if not found:
        return []
    counts = {verdict: sum(one.verdict == verdict for one in found) for verdict in (PASSED, FAILED, NONE)}
    said = ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
    rows = [f"| {one.rule} | {literal(one.shown, one_line=True)} | {one.verdict} |" for one in found]
    head = "Judged by what the run recorded, not by what anybody declares: " + said + "."
    return [
        "## Is the run rigorous?\n",
        f"{head}\n",
        "| Rule | What the run shows | Verdict |",
        "|---|---|---|",
        *rows,
        "",
    ]


def failures(studies: Mapping[str, Path]) -> list[str]:
    """Return a line for each rule that a study's run does not pass."""
    return [
        f"{study}: {one.rule}: {one.verdict} ({one.shown})"
        for study, results in studies.items() for one in read(results) if one.verdict == FAILED
    ]  # fmt: skip
