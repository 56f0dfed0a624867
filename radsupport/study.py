"""Read a study YAML, apply its profile, report every problem at once; and where a study's files lie."""

from __future__ import annotations

import difflib
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from radsupport.errors import Problem, StudyError
from radsupport.files import slug
from radsupport.settings.study import Study
from radsupport.stats.formulas import CATEGORIES, read_terms
from radsupport.wording import center_words, counted, did_you_mean, listed

STUDIES = Path("studies")
PROFILES = ("demo", "paper")


def study_ids(folder: Path = STUDIES) -> list[str]:
    """Return the ids of all study files in `folder`, sorted."""
    return sorted(path.stem for path in Path(folder).glob("*.yaml"))


def center_names(study: Study) -> dict[str, str]:
    """Return the centers in words: by the cohort that one alone is, where its name begins with the same word."""
    cohorts = list(study.cohorts.values())
    found = {center: center_words(center) for one in cohorts for center in one.centers}
    for one in cohorts:
        center, served = one.centers[0], sum(one.centers[0] in other.centers for other in cohorts)
        if len(one.centers) == served == 1 and found[center].split()[0] == one.name.split()[0]:
            found[center] = one.name
    return found


def trained_centers(study: Study) -> list[str]:
    """Return the centers that something is fitted on: none in a study that validates a locked model."""
    return study.cohorts["train"].centers if "train" in study.cohorts else []


def load_study(
    study: str, profile: str = "demo", folder: Path = STUDIES, overrides: Mapping[str, Any] | None = None
) -> Study:
    """Read ``studies/<study>.yaml`` with the values of one profile.

    Parameters
    ----------
    study : str
        Id of the study, the file's name without ``.yaml``.
    profile : {"demo", "paper"}
        Which entry of ``profiles:`` overrides the common values.
    folder : Path
        Folder of the study files.
    overrides : mapping, optional
        Values put over those of the file and its profile, by section.

    Returns
    -------
    Study

    Raises
    ------
    StudyError
        No such file, not YAML, unknown keys (with the nearest valid one), wrong types, or sections
        that contradict each other; all problems in one message.
    """
    path = Path(folder) / f"{study}.yaml"
    raw = _read_yaml(path, folder)
    profiles = raw.pop("profiles", {}) or {}
    if profile not in PROFILES:
        problem = Problem("no such profile", " or ".join(PROFILES), value=profile)
        raise StudyError(f"Unknown profile {profile!r}.", [problem])
    if raw.get("model"):
        raw = _with_model(raw, path)
    merged = merge(raw, profiles.get(profile, {}) or {})
    merged = merge(merged, {key: value for key, value in (overrides or {}).items() if merged.get(key, {}) is not None})
    merged["profile"] = profile
    try:
        loaded = Study.model_validate(merged)
    except ValidationError as error:
        raise StudyError(f"{path} can not be used.", [_problem(path, item) for item in error.errors()]) from error
    problems = list(_contradictions(loaded, path))
    if problems:
        raise StudyError(f"{path} contradicts itself.", problems)
    return loaded


def merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `override` put over it, mapping by mapping."""
    merged = dict(base)
    for key, value in override.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


#: What is said of a path that leads to no locked model.
NO_MODEL = "there is no such model"
#: Sections that say how a locked model's patients are described; a study that validates it takes them over.
_DESCRIBED = ("columns", "phases", "preprocessing", "radiomics", "deep")


def _with_model(raw: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return a study file completed by the locked model that it validates: signatures, columns, how scans are measured.

    Raises
    ------
    StudyError
        There is no such model, or its file is none.
    """
    file = path.parent.parent / str(raw["model"])
    file = file / "model.json" if file.is_dir() else file
    where: dict[str, Any] = {"file": str(path), "column": "model", "value": str(raw["model"])}
    remedy = "lock one (chapter 05 writes `results/<study>/model`), or correct the path, which begins at the project"
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
        names, own = list(plain["signatures"]), plain.get("settings") or {}
        needed = {name: _terms_of(one["members"]) for name, one in plain["signatures"].items()}
    except FileNotFoundError as error:
        raise StudyError(f"{path} can not be used.", [Problem(NO_MODEL, "", remedy, **where)]) from error
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise StudyError(
            f"{path} can not be used.", [Problem("this is no locked model", "", remedy, **where)]
        ) from error
    base: dict[str, Any] = {key: own[key] for key in _DESCRIBED if own.get(key)} | {"seed": 0, "modelling": {}}
    alone: dict[str, Any] = {"compare": [], "compare_on": [], "reader_seconds": {}}  # nothing is compared
    base |= {key: base[key] | alone for key in ("radiomics", "deep") if key in base}
    base["columns"] = plain.get("columns", {}) | base.get("columns", {})
    if own:
        base |= {"signatures": [one for one in own["signatures"] if one["name"] in names], "endpoint": own["endpoint"]}
        base |= _judged_as(own, names, (file.parent / "nomogram.json").is_file())
    else:
        learner = "Cox" if len(plain.get("outcome", ["label"])) == 2 else "Logistic"
        base["signatures"] = [_printed(name, needed[name], base["columns"], learner) for name in names]
    given = raw.get("data") if isinstance(raw.get("data"), dict) else {}
    if given and (theirs := own.get("data", {})):
        taken = ["missing_values"] + ["feature_columns"] * (given.get("entry") == "features")
        base["data"] = {key: theirs[key] for key in taken if theirs.get(key) and key not in given}
    base = {key: value for key, value in base.items() if key not in ("endpoint", "signatures") or key not in raw}
    centers = [one for cohort in dict(raw.get("cohorts") or {}).values() for one in (cohort or {}).get("centers", [])]
    for one in base.get("signatures", []):
        one["seen"] = [center for center in one.get("seen", []) if center in centers]
    return merge(base, raw)


def _judged_as(own: Mapping[str, Any], names: list[str], nomogram: bool) -> dict[str, Any]:
    """Return what the model's own study said of judging it, as far as the signatures of the model go."""
    judged, survival = own["validation"], own["survival"]
    found = {key: judged[key] for key in ("threshold", "decision_thresholds")}
    found |= {key: judged[key] for key in ("best", "comparator") if judged[key] in names}
    followed = {key: survival[key] for key in ("baseline",) if survival[key] in names}
    followed["signatures"] = [name for name in survival["signatures"] if name in names]
    return {
        "validation": found, "survival": followed, "nomogram": own["nomogram"] if nomogram else {},
        "modelling": {"external": own["modelling"]["external"]},
    }  # fmt: skip


def _terms_of(members: list[Any]) -> list[str]:
    """Return the columns that fitted models are given, those of their parts too."""
    found: dict[str, None] = {}
    for member in members:
        parts = member.get("parts", {})
        found |= dict.fromkeys(term["column"] for term in member["terms"] if term["column"] not in parts)
        found |= dict.fromkeys(_terms_of(list(parts.values())))
    return list(found)


def _printed(name: str, needed: list[str], columns: Mapping[str, Any], learner: str) -> dict[str, Any]:
    """Return a signature whose formula somebody wrote down; what is no column of the file is a feature of a phase."""
    features = [column for column in needed if column not in columns and "__" in column]
    words = f"a printed formula of {counted(len(needed), 'column')}"
    found = {"name": name, "columns": [one for one in needed if one not in features], "learner": learner}
    return found | {"sources": ["radiomics"] * bool(features), "description": words}


def _read_yaml(path: Path, folder: Path) -> dict[str, Any]:
    if not path.is_file():
        known = study_ids(folder)
        near = difflib.get_close_matches(path.stem, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        problem = Problem(f"{hint}studies here: {', '.join(known)}", remedy=f"copy one of them to {path.name}")
        raise StudyError(f"There is no study file {path}.", [problem])
    try:
        loader = _Keys(text := path.read_text(encoding="utf-8-sig"))
        raw = loader.construct_document(node) if (node := _composed(text)) else loader.get_single_data()
    except yaml.YAMLError as error:
        hint = " Indent with spaces, not tabs." if "\\t" in str(error) else ""
        raise StudyError(f"{path} is not valid YAML: {error}.{hint}") from error
    except UnicodeDecodeError as error:
        raise StudyError(f"{path} is not UTF-8 ({error}).", [Problem("no UTF-8", "", "save it as UTF-8")]) from error
    if loader.twice:
        raise StudyError(f"{path} names a key twice.", [_twice(path, *found) for found in loader.twice])
    if not isinstance(raw, dict):
        raise StudyError(f"{path} holds no mapping of keys to values.")
    return raw


def _composed(text: str) -> yaml.Node | None:
    """Return what YAML's reader in C makes of a text, ten times as fast; None where it objects, in too few words."""
    try:
        return yaml.compose(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, AttributeError):
        return None


class _Keys(yaml.SafeLoader):
    """A reader of YAML that keeps the keys of a mapping which stand there twice (YAML's own rule: the last wins)."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.twice: list[tuple[str, int, int]] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Note the lines of a repeated key, then read the mapping as YAML does."""
        seen: dict[str, int] = {}
        for key, _ in node.value:
            line, name = key.start_mark.line + 1, str(key.value)
            if name in seen and name != "<<":
                self.twice.append((name, seen[name], line))
            seen.setdefault(name, line)
        return super().construct_mapping(node, deep)


def _twice(path: Path, key: str, first: int, again: int) -> Problem:
    remedy = "join the two, or remove one"
    return Problem("this key stands twice", "each key once", remedy, str(path), f"{first} and {again}", key)


def _problem(path: Path, item: Any) -> Problem:
    """Say one pydantic error in words, with the nearest valid key where a key is unknown."""
    place = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        valid = sorted(_fields_at(item["loc"][:-1]))
        remedy = did_you_mean(str(item["loc"][-1]), valid, "remove it")
        return Problem("unknown key", f"one of {', '.join(valid)}", remedy, str(path), column=place)
    if item["type"] == "missing":
        return Problem("this key is missing", remedy="add it", file=str(path), column=place)
    value = item.get("input")
    if item["type"] == "string_type" and isinstance(value, bool | int | float):
        was = "yes/Yes/on or no/No/off" if isinstance(value, bool) else f"{value}"
        what, remedy = f"YAML reads {was} without quotes as {value!r}, not as text", 'put quotes around it, as in "No"'
        return Problem(what, "text", remedy, str(path), column=place.removesuffix(".[key]"))
    shown = "" if isinstance(value, dict | list) else repr(value)
    return Problem(
        item["msg"].removeprefix("Value error, "), remedy="correct the value", file=str(path), column=place, value=shown
    )


def _fields_at(loc: tuple[Any, ...]) -> set[str]:
    """Return the valid keys of the section that `loc` leads to."""
    options: list[Any] = [Study]
    for part in loc:
        options = [inner for option in options for inner in _step(option, part)]
    return {name for option in options for name in option.model_fields}


def _step(model: type[BaseModel], part: Any) -> list[type[BaseModel]]:
    if isinstance(part, str) and part in model.model_fields:
        return _models_in(model.model_fields[part].annotation)
    return [model]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in typing.get_args(annotation) for model in _models_in(inner)]


def _contradictions(study: Study, path: Path) -> typing.Iterator[Problem]:
    """Yield every place where one section names something that another does not have."""
    file, names = str(path), [signature.name for signature in study.signatures]
    if "external" in study.cohorts and any(key.startswith("external_") for key in study.cohorts):
        what, remedy = "one of several external cohorts has no name of its own", "rename it, such as external_north"
        yield Problem(what, "external_<name> for each", remedy, file, column="cohorts", value="external")
    if study.model:
        for key in [key for key in study.cohorts if not key.startswith("external")]:
            what, expected = "with `model:` nothing is fitted here", "external, or external_<name> for each of several"
            yield Problem(what, expected, "rename it, or remove `model:`", file, column="cohorts", value=key)
    elif "train" not in study.cohorts:
        expected = "a cohort the models are fitted on"
        yield Problem("there is no cohort `train`", expected, "add it", file, column="cohorts")
    if study.is_synthetic and study.synthetic is None:
        yield Problem("synthetic data without a generator", remedy="add `synthetic:`", file=file, column="data.kind")
    if study.id != path.stem:
        remedy = f"write `id: {path.stem}`, or rename the file"
        yield Problem("the id is not the name of the file", path.stem, remedy, file, column="id", value=study.id)
    yield from _outcome_problems(study, file)
    for name in sorted({n for n in names if names.count(n) > 1}):
        yield Problem("two signatures of one name", remedy="rename one", file=file, column="signatures", value=name)
    yield from _shared_tables(study, file)
    for where, kind, used, known in _references(study, names):
        for value in sorted(set(used) - set(known)):
            expected = f"one of {', '.join(known)}"
            remedy = did_you_mean(value, known, "correct it")
            yield Problem(f"unknown {kind}", expected, remedy, file, column=where, value=value)
    for where, formula in _formulas(study):
        for problem in _formula_problems(study, formula, drawn=where.startswith("nomogram")):
            yield replace(problem, file=file, column=where, value=problem.value or problem.column)


def _shared_tables(study: Study, file: str) -> typing.Iterator[Problem]:
    """Yield choices to be compared whose names would give their tables one file."""
    for section, part in (("radiomics", study.radiomics), ("deep", study.deep)):
        stems: dict[str, str] = {}
        for one in part.compare if part else []:
            called, stem = f"{one.group}, {one.name}", f"{slug(one.group)}_{slug(one.name)}"
            if stem in stems:
                what, expected = f"its table would have the file of `{stems[stem]}`", "names that differ in a letter"
                yield Problem(what, expected, "rename one", file, column=f"{section}.compare", value=called)
            stems[stem] = called


def _formulas(study: Study) -> typing.Iterator[tuple[str, list[str]]]:
    """Yield (place, terms) of every formula of clinical columns."""
    yield "survival.covariates", study.survival.covariates
    for key in ("columns", "preoperative_columns", "candidates"):
        yield f"nomogram.{key}", getattr(study.nomogram, key)


def _formula_problems(study: Study, formula: list[str], *, drawn: bool) -> typing.Iterator[Problem]:
    """Yield what of a formula can be known to be wrong before there are data; `drawn`: as a nomogram."""
    terms, problems = read_terms(formula, study.columns)
    yield from problems
    for term in terms if drawn else ():
        used = {source: piece.function for piece in term.pieces for source in piece.sources}
        numbers = [one for one, call in used.items() if study.columns[one].kind == "number" and call not in CATEGORIES]
        if len(numbers) > 1:
            what = f"{listed(numbers)} are tied together, so neither has an axis in a nomogram"
            yield Problem(what, "a number by categories only", "leave the product out", value=term.name)
    for piece in dict.fromkeys(piece for term in terms for piece in term.pieces):
        for source in piece.sources:
            column = study.columns[source]
            if piece.function in CATEGORIES and piece.reference not in ("", *column.levels) and column.levels:
                expected, remedy = f"one of {', '.join(column.levels)}", did_you_mean(piece.reference, column.levels)
                yield Problem(f"unknown level in `{piece.text}`", expected, remedy, value=piece.reference)
            if piece.function not in ("", *CATEGORIES) and column.kind == "category":
                what = f"`{source}` is a category, and `{piece.function}` needs numbers"
                yield Problem(what, remedy=f"write `{source}`", value=piece.text)


def _outcome_problems(study: Study, file: str) -> typing.Iterator[Problem]:
    """Yield status codes that are never read as such, and a generator that draws what the endpoint does not name."""
    survival, place = study.endpoint.survival, "endpoint.survival"
    missing = {value.casefold() for value in study.data.missing_values}
    for key, codes in survival.statuses.items() if survival is not None else ():
        for code in [code for code in codes if code.strip().casefold() in missing]:
            what, expected = "this status code is read as a missing value", "a code that `data.missing_values` lacks"
            yield Problem(what, expected, "remove it from one of them", file, column=f"{place}.{key}", value=code)
    for section in ("validation", "survival") if study.endpoint.label is None else ():
        if getattr(study, section).threshold == "youden":
            what, remedy = "Youden's index needs a yes/no outcome, which `endpoint` lacks", "take `median`"
            yield Problem(what, "another rule", remedy, file, column=f"{section}.threshold", value="youden")
    competing = survival is not None and bool(survival.competing_values)
    if competing and "competing" in study.columns:
        what = "a column called as the table of the cohort calls the competing event"
        yield Problem(what, "another name", "rename it, and say `column: competing`", file, column="columns.competing")
    if study.synthetic is not None and study.synthetic.competing_share and not competing:
        what, remedy = "competing events are drawn, but no code means one", "add `competing_values`"
        yield Problem(what, "a code", remedy, file, column=f"{place}.competing_values")


def _references(study: Study, names: list[str]) -> typing.Iterator[tuple[str, str, list[str], list[str]]]:
    """Yield (place, kind, names used there, names that exist) for everything that refers to another section."""
    columns, centers = list(study.columns), [one for part in study.cohorts.values() for one in part.centers]
    for signature in study.signatures:
        where = f"signatures.{signature.name}"
        yield where, "phase", signature.phases, list(study.phases)
        yield where, "column", signature.columns, columns
        yield where, "signature", signature.combines, names
        yield f"{where}.seen", "center", signature.seen, centers
    for setting, printed in study.acquisition.settings.items():
        used = [] if isinstance(printed, str) else list(printed)
        yield f"acquisition.settings.{setting}", "center or phase", used, [*centers, *study.phases]
    yield from _modelling_references(study, names)
    for section, part in (("radiomics", study.radiomics), ("deep", study.deep)):
        yield f"{section}.compare_on", "signature", part.compare_on if part else [], names
    for key in ("best", "comparator"):
        yield f"validation.{key}", "signature", [name for name in [getattr(study.validation, key)] if name], names
    for compared in study.validation.comparisons:
        yield f"validation.comparisons.{compared.name}", "signature", compared.signatures, names
    yield "validation.subgroups", "column", [part.column for part in study.validation.subgroups], columns
    for divided in study.validation.subgroups:
        if divided.cut is None and divided.column in study.columns:
            levels = divided.levels or study.columns[divided.column].levels
            yield f"validation.subgroups.{divided.column}.advice", "level", list(divided.advice), levels
    yield "nomogram.signature", "signature", [name for name in [study.nomogram.signature] if name], names
    survival, nomogram = study.survival, study.nomogram
    yield "nomogram.further_signatures", "signature", nomogram.further_signatures, names
    yield "survival.signatures", "signature", survival.signatures, names
    yield "survival", "signature", [name for name in (survival.baseline, survival.adds) if name], names
    yield "survival.flow", "column", survival.flow, ["group", "event", "label", *columns]
    for key, cohorts in survival.pooled.items():
        yield f"survival.pooled.{key}", "cohort", list(cohorts), list(study.cohorts)
    tests = study.cohort_tables
    yield "cohort_tables", "column", [*tests.tests_by_cohort, *tests.tests_by_outcome], columns
    for name, column in study.columns.items():
        if column.measure is not None:
            used = [*column.measure.phases, *filter(None, [column.measure.before])]
            yield f"columns.{name}.measure", "phase", used, list(study.phases)
    if study.synthetic is not None:
        readings = [name for name, marginal in study.synthetic.marginals.items() if marginal.reads_tissue]
        measured = [name for name, column in study.columns.items() if column.measure is not None]
        yield "synthetic.marginals (reads_tissue)", "column with `measure:`", readings, measured


def _modelling_references(study: Study, names: list[str]) -> typing.Iterator[tuple[str, str, list[str], list[str]]]:
    """Yield what the section `modelling:` refers to, as `_references`."""
    settings = study.modelling
    yield "modelling.shown", "signature", settings.shown, names
    yield "modelling.controls", "signature", settings.controls, names
    if settings.learning_curve is not None:
        yield "modelling.learning_curve.signatures", "signature", settings.learning_curve.signatures, names
    if settings.harmonisation is not None:
        yield "modelling.harmonisation.signature", "signature", [settings.harmonisation.signature], names
        centers = [center for cohort in study.cohorts.values() for center in cohort.centers]
        used = [center for part in settings.harmonisation.divisions for center in (*part.train, *part.test)]
        yield "modelling.harmonisation.divisions", "center", used, centers


@dataclass(frozen=True)
class StudyPaths:
    """Folders of one study under the project root.

    Parameters
    ----------
    study : str
        Id of the study.
    root : Path
        Project root; notebooks run there.
    run : str
        Behind the id in the name of the results' folder, such as ``@n_folds-5``; empty for the results of the book.
    """

    study: str
    root: Path = Path()
    run: str = ""

    @property
    def results(self) -> Path:
        """Everything the chapters write."""
        return self.root / "results" / f"{self.study}{self.run}"

    @property
    def data(self) -> Path:
        """Inputs: fetched public files or the synthetic cohort."""
        return self.root / "data" / self.study

    @property
    def figures(self) -> Path:
        """Vector files for print."""
        return self.results / "figures"

    @property
    def cache(self) -> Path:
        """Results kept under the hash of their inputs, shared by all runs."""
        return self.root / "results" / self.study / "cache"

    @property
    def images(self) -> Path:
        """Preprocessed images and masks of chapter 02."""
        return self.results / "images"
