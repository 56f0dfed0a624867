"""New patients, by a locked model: from scans or a table to predictions, one row per patient and signature.

A table is read as a person would read it; a scan is preprocessed, measured and described as the model's study did it. A
case that can not be used keeps its row and gets a reason, and stops nobody else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from radsupport.checks import held_out
from radsupport.data.clinical import (
    Parser,
    category_parser,
    number_parser,
    parse_column,
    wanted_columns,
    with_follow_up,
)
from radsupport.data.manifest import CASE_ROLES, parse_manifest, with_files
from radsupport.data.scans import case_files, model_cases
from radsupport.data.sheets import core_name, read_sheet
from radsupport.errors import InputError, ManifestError, Problem, RadsupportError, one_line, serious
from radsupport.imaging.preprocessing import preprocess
from radsupport.learning.locked import CENTER, Model, Range, read_model
from radsupport.learning.signatures import not_recorded
from radsupport.nomogram.nomogram import Nomogram
from radsupport.settings.parts import Column
from radsupport.settings.study import Study
from radsupport.study import StudyPaths
from radsupport.tables import read_table
from radsupport.wording import listed, readable, source_words

NOMOGRAM = "nomogram.json"
Reasons = dict[tuple[str, str], str]  # of a patient and a column; "" is every column, "<phase>__" those of a phase


def apply_model(
    model: Model, folder: Path, *, table: Path | None = None, manifest: Path | None = None, work: Path, n_jobs: int = 1
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predict new patients.

    Parameters
    ----------
    model : Model
        What `learning.read_model` reads.
    folder : Path
        Where it lies, with the weights of its networks and its nomogram.
    table : Path, optional
        CSV, Excel or parquet: subject, and the columns that the signatures need.
    manifest : Path, optional
        Scans and masks, as for a study; columns that scans do not give come from `table`.
    work : Path
        Gets preprocessed images.
    n_jobs : int
        Cases at once.

    Returns
    -------
    predictions : DataFrame
        As `Model.predict`, in the order of the patients, and rows of the nomogram where there is one.
    patients : DataFrame, indexed by subject
        The columns that they were predicted by, and the outcome where the table has it.

    Raises
    ------
    InputError, ManifestError
        A file that can not be read at all, or neither of them.
    """
    if table is None and manifest is None:
        raise InputError("Nobody to predict: name a table of features or a manifest of scans.")
    found, reasons = (pd.DataFrame(), Reasons()) if table is None else read_patients(model, table, manifest is None)
    if manifest is not None:
        files, reasons_of = manifest_cases(model, manifest)
        measured, failed = measure_patients(model, folder, files, work, n_jobs)
        apart = _apart(model, measured, found, table is not None)
        found, reasons = _together(measured, found), apart | reasons | failed | reasons_of
    predictions = model.predict(found, reasons)
    if (path := folder / NOMOGRAM).is_file():
        predictions = pd.concat([predictions, nomogram_rows(path, predictions, found)], ignore_index=True)
    place = {subject: i for i, subject in enumerate(found.index)}
    return predictions.sort_values("subject", key=lambda s: s.map(place), kind="stable", ignore_index=True), found


def _together(measured: pd.DataFrame, given: pd.DataFrame) -> pd.DataFrame:
    """Return everybody of the manifest and, behind them, of the table."""
    order = list(dict.fromkeys([*measured.index, *given.index]))
    center = measured[CENTER].reindex(order).combine_first(given.get(CENTER, measured[CENTER]).reindex(order))
    joined = measured.drop(columns=CENTER).join(given.drop(columns=list(measured), errors="ignore"), how="outer")
    return joined.reindex(order).rename_axis("subject").assign(**{CENTER: center})


def _apart(model: Model, measured: pd.DataFrame, given: pd.DataFrame, asked: bool) -> Reasons:
    """Return why those have no values who are in one of manifest and table only; `asked`: there is a table."""
    scans, rows = ({core_name(one): one for one in table.index} for table in (measured, given))

    def words(subject: str, place: str, others: dict[str, str]) -> str:
        near = others.get(core_name(subject))
        return f"not in the {place}" + (f", which has {near}: write both alike" if near else "")

    reasons = Reasons()
    for subject in [one for one in given.index if one not in measured.index]:
        why = words(subject, "manifest", scans)
        reasons |= {(subject, f"{phase}__"): why for phase in _study_with_scans(model).phases}
    for subject in [one for one in measured.index if asked and one not in given.index]:
        reasons |= {(subject, str(column)): words(subject, "clinical table", rows) for column in given}
    return reasons


def read_patients(model: Model, path: Path, alone: bool = True) -> tuple[pd.DataFrame, Reasons]:
    """Return the columns of new patients that a model or its nomogram can use, by subject, and what is wrong with whom.

    Raises
    ------
    InputError
        No such file, no column of subjects, or none of the columns that the model needs where the table is `alone`:
        beside scans it may hold nothing but predictors of a nomogram, or the outcome.
    """
    if path.suffix == ".parquet":
        return _parquet(path), {}
    study = study_of(model)
    named = study.data.subject if study is not None else "subject"
    sheet = read_sheet(path, subject=named)
    sheet = sheet if study is None else with_follow_up(study, sheet)
    header = sheet.find(named) or sheet.find("subject")
    if header is None:
        raise InputError(f"{path} can not be used.", [sheet.missing(named)])
    wanted: dict[str, tuple[str, Parser, bool]] = dict(_wanted(model, study))
    given = {name: at for name, (said, _, _) in wanted.items() if (at := sheet.find(said) or sheet.find(name))}
    needed = {column for one in model.signatures.values() for column in one.needed}
    if alone and not needed & set(given):
        what, first = "no column that the model needs", f"some of {listed(sorted(needed), 8)}"
        raise InputError(f"{path} can not be used.", [Problem(what, first, "add them", file=str(path))])
    subjects = [
        " ".join(text.split()) or f"row {row}" for text, row in zip(sheet.table[header], sheet.rows, strict=True)
    ]
    missing = {"", "na", "n/a", "nan", "--"} | {v.casefold() for v in (study.data.missing_values if study else ())}
    columns, reasons = {}, Reasons()
    for name, at in given.items():
        _, parse, is_number = wanted[name]
        values, problems = parse_column(sheet, at, parse, missing, "" if is_number else None)
        columns[name] = values.astype(float) if is_number else values
        for problem in serious(problems):
            for place in _places(problem, sheet.table[at], values, missing):
                own = replace(problem, row=str(sheet.rows[place]), value=sheet.table[at].iloc[place])
                reasons[subjects[place], name] = str(own)
    found = pd.DataFrame(columns, index=pd.RangeIndex(len(subjects)))
    for text, places in pd.Series(range(len(subjects)), subjects).groupby(level=0, sort=False):
        if len(places) > 1:
            rows = listed([sheet.rows[place] for place in places])
            twice = sheet.problem("a patient named twice", "", "keep one row", rows, header, str(text))
            reasons[str(text), ""] = str(twice)
    table = found.set_axis(pd.Index(subjects, name="subject"))
    return table[~table.index.duplicated()], reasons


def _parquet(path: Path) -> pd.DataFrame:
    """Return a table that an earlier chapter, or another program, wrote with its types."""
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors derive from these two
        raise InputError(f"{path} can not be used.", [Problem(str(error), file=str(path))]) from error
    if "subject" not in table or not table["subject"].is_unique:
        problem = Problem("no column `subject` with another name in every row", file=str(path), column="subject")
        raise InputError(f"{path} can not be used.", [problem])
    return table.set_index("subject")


def _places(problem: Problem, cells: pd.Series, values: pd.Series, missing: set[str]) -> list[int]:
    """Return the rows that a problem of a column is about: those that were given and have no value."""
    lost = values.isna() & ~cells.str.casefold().isin(missing)
    shown = set(problem.value.removesuffix("; …").split("; ")) if problem.value and "; …" not in problem.value else None
    return [int(i) for i in np.flatnonzero(lost) if shown is None or cells.iloc[i] in shown]


def _wanted(model: Model, study: Study | None) -> Iterator[tuple[str, tuple[str, Parser, bool]]]:
    """Yield each column that can be read: its name, its header, how a cell is read, and whether it is a number."""
    described = {} if study is None else wanted_columns(study)
    for name, column in model.columns.items():
        is_number = column.kind == "number"
        parse = (number_parser if is_number else category_parser)(column)
        described.setdefault(name, (column.column or name, parse, is_number))
    yield from described.items()
    levels = {term.column for one in model.signatures.values() for m in one.members for term in m.given() if term.level}
    any_number = number_parser(Column(source="clinical", kind="number", label=""))
    features = [name for names in model.sources.values() for name in names]
    for name in dict.fromkeys(
        [*features, *model.outcome, *(c for one in model.signatures.values() for c in one.needed)]
    ):
        if name == CENTER or (name in levels and name not in described):
            yield name, (study.data.center if study and name == CENTER else name, lambda text: (text, None), False)
        elif name not in described:
            yield name, (name, any_number, True)


def study_of(model: Model) -> Study | None:
    """Return the study that a model was fitted in; None of a printed formula."""
    return Study.model_validate(model.settings) if model.settings else None


def measure_patients(
    model: Model, folder: Path, files: pd.DataFrame, work: Path, n_jobs: int = 1, cache: Path | None = None
) -> tuple[pd.DataFrame, Reasons]:
    """Preprocess scans, and measure what the model's signatures need.

    Parameters
    ----------
    model, folder, work, n_jobs
        As in `apply_model`.
    files : DataFrame
        What `manifest_cases` or `case_files` returns.
    cache : Path, optional
        Where radiomics of a case are kept under the hash of its files and of the settings.

    Returns
    -------
    features : DataFrame, indexed by subject
    reasons : dict
        Why a case has none.

    Raises
    ------
    InputError
        The model knows no study with scans, or its weights are not there.
    """
    from radsupport import networks, radiomics  # a table needs neither

    study = _study_with_scans(model)
    grid, files = study.preprocessing, files.assign(cohort="external")
    cases = preprocess(
        files, work / "images", spacing_mm=grid.spacing_mm, interpolation=grid.interpolation, margin_mm=grid.margin_mm,
        n_jobs=n_jobs, progress=False,
    )  # fmt: skip
    reasons = _failed(cases.drop(columns="reason", errors="ignore").rename(columns={"exclusion": "reason"}))
    tables = [files.drop_duplicates("subject").set_index("subject")[[CENTER]]]
    measured = model_cases(study, cases)
    if "radiomics" in model.sources and study.radiomics is not None:
        how = model.about["pyradiomics"]
        features, log = radiomics.extract(measured, how, n_jobs=n_jobs, cache=cache, progress=False)
        reasons |= _failed(log[log["status"] == "failed"])
        tables.append(features.set_index("subject"))
    if "deep" in model.sources and study.deep is not None and (measured["exclusion"] == "").any():
        phases = [name for name, phase in study.phases.items() if phase.role == "model"]
        given = networks.Given(
            files.drop_duplicates("subject")[["subject", "cohort"]], cases, phases=phases, spacing_mm=grid.spacing_mm,
            windows={name: phase.window for name, phase in study.phases.items()}, folder=work, seed=study.seed,
            margin_mm=grid.margin_mm,
        )  # fmt: skip
        described = networks.describe(study.deep, given, folder / "networks.pt")
        tables += [
            part.set_index("subject").add_suffix("" if fold is None else f"@{fold}") for fold, part in described.items()
        ]
    return pd.concat(tables, axis=1), reasons


def _study_with_scans(model: Model) -> Study:
    study = study_of(model)
    if study is None or study.data.entry != "images":
        raise InputError("This model holds no settings of scans: apply it to a table of features (--table).")
    return study


def manifest_cases(model: Model, manifest: Path) -> tuple[pd.DataFrame, Reasons]:
    """Return one row per patient and phase with the path of each file, and what is wrong with whom.

    Raises
    ------
    InputError, ManifestError
        The model knows no study with scans, or the manifest can not be read.
    """
    study = _study_with_scans(model)
    rows, problems = parse_manifest(manifest)
    if rows.empty:
        raise ManifestError(f"{manifest} can not be used.", problems or [Problem("no rows", file=str(manifest))])
    subject_of = rows.set_index(rows["row"].astype(str))["subject"]
    reasons = Reasons()
    for problem in serious(problems):
        named = [subject_of[row] for row in problem.row.split(", ") if row in subject_of]
        if not named:
            raise ManifestError(f"{manifest} can not be used.", [problem])
        reasons |= {(subject, f"{phase}__"): str(problem) for subject in named for phase in study.phases}
    listed_files = with_files(rows, manifest, StudyPaths(study.id))
    cases = listed_files[listed_files["role"].isin(CASE_ROLES)]
    odd, have = cases[~cases["phase"].isin(study.phases)], set(zip(cases["subject"], cases["phase"], strict=True))
    for row in odd.to_dict("records"):
        where = {"file": str(manifest), "row": str(row["row"]), "column": "phase", "value": row["phase"]}
        problem = Problem(
            "a phase that the model does not know", f"one of {', '.join(study.phases)}", "correct it", **where
        )
        lacking = [phase for phase in study.phases if (row["subject"], phase) not in have]
        reasons |= {(row["subject"], f"{phase}__"): str(problem) for phase in lacking}
    wide = cases.assign(file=cases["file"].astype(str)).pivot_table(
        index=["subject", "phase"], columns="role", values="file", aggfunc="first", fill_value=""
    )
    everybody = listed_files[listed_files["subject"] != ""].drop_duplicates("subject")[["subject", CENTER]]
    wanted = everybody.merge(pd.Series(list(study.phases), name="phase"), how="cross")
    found = wanted.merge(wide.reindex(columns=list(CASE_ROLES), fill_value="").reset_index(), how="left").fillna("")
    found["exclusion"] = np.where(found["image"] == "", "no image in the manifest", "")
    return found, reasons


def _failed(cases: pd.DataFrame) -> Reasons:
    """Return why cases have no features, by patient and phase."""
    rows = cases[cases["reason"].fillna("") != ""]
    return {
        (row["subject"], f"{row['phase']}__"): f"{row['phase']} phase: {row['reason']}"
        for row in rows.to_dict("records")
    }


def nomogram_rows(path: Path, predictions: pd.DataFrame, patients: pd.DataFrame) -> pd.DataFrame:
    """Return what the nomogram of a model's study says of each patient, as rows of the predictions.

    The columns are those of `Model.predict`; risk is the linear predictor, and ``inputs`` (JSON) the value of each of
    the nomogram's predictors, as the calculator on the nomogram's page takes them.
    """
    plain = json.loads(path.read_text(encoding="utf-8"))
    drawn = Nomogram.from_dict(plain["nomogram"])
    risks = predictions.pivot_table("risk", "subject", "signature").reindex(patients.index)
    named: dict[str, str] = plain["signatures"]
    table = patients.assign(**{column: risks.get(name) for column, name in named.items()})
    axes = {axis.name: axis for axis in (*drawn.conditions, *drawn.predictors)}
    spans = {
        one.label: Range.model_validate({"low": one.ticks[0], "high": one.ticks[-1]})
        for one in axes.values()
        if one.kind != "factor"
    }
    months = ["probability"] if drawn.kind == "logistic" else [f"by_{month:g}" for month in drawn.horizons]
    rows = []
    for subject, values in table.iterrows():
        row: dict[str, Any] = {"subject": subject, "signature": "nomogram", "risk": np.nan, "filled": "", "reason": ""}
        known = {name: values.get(name) for name in axes if pd.notna(values.get(name))}
        try:
            if lacking := [named.get(name, name) for name in axes if name not in known]:
                raise InputError(f"no value of {listed(lacking)}")
            row["risk"] = float(drawn.linear_predictor(known)[0])
            shares = np.asarray(drawn.predict(known), dtype=float).ravel()
            row |= dict(zip(months, shares if drawn.kind == "logistic" else 1 - shares, strict=True))
        except RadsupportError as error:
            row["reason"] = one_line(error)
        beyond = [(axes[n].label, spans[axes[n].label].excess(v)) for n, v in known.items() if axes[n].label in spans]
        outside = "; ".join(f"{label} {text}" for label, text in beyond if text)
        rows.append(row | {"outside": outside, "inputs": json.dumps(known)})
    return pd.DataFrame(rows)


def for_calculator(predictions: pd.DataFrame) -> dict[str, Any]:
    """Return the predictions of each patient as the calculator of the nomogram's page reads them (JSON)."""
    patients = []
    for subject, own in predictions.groupby("subject", sort=False):
        risks = own.dropna(subset="risk").set_index("signature")["risk"].to_dict()
        outside = "; ".join(dict.fromkeys(text for text in own["outside"] if text))
        inputs = json.loads(own["inputs"].dropna().iloc[-1]) if "inputs" in own else {}
        patients.append({"subject": subject, "inputs": inputs, "risks": risks, "outside": outside})
    return {"format": "radsupport predictions 1", "patients": patients}


def score_cohort(
    study: Study, model: Model, cohort: pd.DataFrame, results: Path, root: Path = Path(), n_jobs: int = 1
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score the patients of a study that validates a locked model, as `apply_model` scores new ones.

    Parameters
    ----------
    study : Study
    model : Model
    cohort : DataFrame
        cohort.parquet.
    results : Path
        Folder of the study, with the feature tables of chapter 01 where it starts from them.
    root : Path
        Project root.
    n_jobs : int
        Cases at once, where scans are measured.

    Returns
    -------
    scores : DataFrame
        As `Model.predict`, with center and cohort, and rows of the nomogram where one lies beside the model. A
        signature whose columns a center does not record has no risk of its patients, and `reason` says so.
    patients : DataFrame, indexed by subject
        What they were scored by.

    Raises
    ------
    InputError
        No signature can score anybody.
    """
    folder, people = root / study.model, cohort.set_index("subject")
    folder = folder if folder.is_dir() else folder.parent
    table, reasons = people.astype(dict.fromkeys(people.select_dtypes("category"), object)), Reasons()
    if study.data.entry == "images" and model.sources:
        with TemporaryDirectory(prefix="radsupport-model-") as work:
            cache = StudyPaths(study.id, root).cache / "radiomics"
            files = case_files(study, cohort, root)
            found, reasons = measure_patients(model, folder, files, Path(work), n_jobs, cache)
        table = table.join(found.drop(columns=CENTER))
    elif study.data.entry == "features":
        for source in study.data.feature_columns:
            table = table.join(read_table(f"features_{source}", results).set_index("subject"))
    needed = {column for one in model.signatures.values() for column in one.needed}
    table = table.reindex(columns=[*table, *sorted(needed - set(table))])
    scores = model.predict(table, reasons)
    labels = {name: column.label for name, column in study.columns.items()}
    needs = {name: [column for column in one.needed if column != CENTER] for name, one in model.signatures.items()}
    if (path := folder / NOMOGRAM).is_file():
        scores = pd.concat([scores, nomogram_rows(path, scores, table)], ignore_index=True)
        plain = json.loads(path.read_text(encoding="utf-8"))
        axes = [axis["name"] for key in ("predictors", "conditions") for axis in plain["nomogram"][key]]
        parts = [column for name in plain["signatures"].values() for column in needs.get(name, [])]
        needs["nomogram"] = [*parts, *(name for name in axes if name not in plain["signatures"])]
    for name, wanted in needs.items():
        own_columns = table.reindex(columns=list(dict.fromkeys(wanted)))
        lacking = not_recorded(own_columns.rename(columns=lambda one: readable(str(one), labels)), table[CENTER])
        own = (scores["signature"] == name) & scores["subject"].isin(list(lacking))
        values = [
            name for name in map(str, scores) if name in ("risk", "high", "probability") or name.startswith("by_")
        ]
        scores.loc[own, values] = np.nan
        scores.loc[own, "reason"] = scores.loc[own, "subject"].map(lacking)
    words = {column: readable(column, labels) for column in (*labels, *sorted(needed))}
    scores["reason"] = scores["reason"].map(lambda text: _in_words(text, words))
    if scores["risk"].isna().all():
        why = [
            Problem(f"{name}: {text}") for name, text in scores[["signature", "reason"]].drop_duplicates().to_numpy()
        ]
        raise InputError(f"The model {study.model} can score nobody of study {study.id}.", why)
    return scores.join(people[["cohort", CENTER]], on="subject"), table


def _in_words(reason: str, words: Mapping[str, str]) -> str:
    """Return a reason that names columns with their words instead, as pages name them; others as they are."""
    found = re.fullmatch(r"(no value of |the table has no column )(.*)", reason)
    names = "|".join(sorted(map(re.escape, words), key=len, reverse=True))
    return found[1] + re.sub(rf"(?<![\w-])({names})(?![\w-])", lambda one: words[one[0]], found[2]) if found else reason


def scan_to_answer(study: Study, results: Path, root: Path = Path(), cache: Path | None = None) -> pd.DataFrame:
    """Go from one patient's scans to the answer by the locked model, and set the numbers of the book beside it.

    Taken is the first patient outside training (in training, who is predicted out of fold there) whose case is usable.

    Parameters
    ----------
    study : Study
    results : Path
        Folder of the study, with the chapters' tables and ``model/``.
    root : Path
        Project root.
    cache : Path, optional
        As in `measure_patients`.

    Returns
    -------
    DataFrame
        subject, step, of (signature or source), value (by the model, from the scan), book (the number of the tables),
        apart (the difference; of features the largest, in SD of all patients); no rows, with the reason in
        ``attrs["empty"]``, where a study has no scans or nobody is outside training.
    """
    columns = ["subject", "step", "of", "value", "book", "apart"]
    cohort = read_table("cohort", results)
    others = cohort[held_out(cohort["cohort"])]
    if study.data.entry == "images":
        cases = read_table("cases", results)
        bad = set(cases.loc[cases["exclusion"] != "", "subject"])
        others = others[others["subject"].isin(cases["subject"]) & ~others["subject"].isin(bad)]
    if study.data.entry != "images" or others.empty:
        empty = pd.DataFrame(columns=columns)
        empty.attrs["empty"] = "Not used: this study has no scans of a patient outside training."
        return empty
    folder = results / "model"
    if (path := folder / NOMOGRAM).is_file():  # somebody whom it can predict, where there is anybody
        drawn = json.loads(path.read_text(encoding="utf-8"))["nomogram"]
        asked = [axis["name"] for axis in (*drawn["predictors"], *drawn["conditions"]) if axis["name"] in others]
        complete = others.dropna(subset=asked)
        others = complete if len(complete) else others
    one, model = others.head(1), read_model(folder)
    subject = str(one["subject"].iloc[0])
    with TemporaryDirectory(prefix="radsupport-scan-") as work:
        found, reasons = measure_patients(model, folder, case_files(study, one, root), Path(work), cache=cache)
    table = found.drop(columns=CENTER).join(one.set_index("subject").drop(columns="cohort"))
    predictions = model.predict(table, reasons)
    risks = read_table("predictions", results).query("subject == @subject and kind == 'external'")
    both = predictions.merge(risks[["signature", "risk"]], on="signature", suffixes=("", "_book"))
    measured = [source for source in ("radiomics", "deep") if source in model.sources]
    rows = [_measured(source, found.iloc[0], results, subject) for source in measured]
    rows += [("risk", *row, abs(row[1] - row[2])) for row in both[["signature", "risk", "risk_book"]].to_numpy()]
    if path.is_file():
        scan, book = (nomogram_rows(path, part, table).iloc[0] for part in (predictions, risks))
        for name in [name for name in scan.index if (name == "probability" or name.startswith("by_")) and name in book]:
            words = name if name == "probability" else f"probability by {name[3:]} months"
            rows.append((words, "nomogram", scan[name], book[name], abs(scan[name] - book[name])))
    return pd.DataFrame([(subject, *row) for row in rows], columns=columns)


def _measured(source: str, found: pd.Series, results: Path, subject: str) -> tuple[Any, ...]:
    """Return how many features a scan gave and the table has, and how far apart they are, in SD of all patients."""
    book = read_table(f"features_{source}", results).set_index("subject")
    both = pd.DataFrame({"scan": found, "book": book.loc[subject], "sd": book.std()}).loc[book.columns].astype(float)
    apart = ((both["scan"] - both["book"]) / both["sd"].replace(0, 1.0)).abs().max()
    sizes = (int(both[side].notna().sum()) for side in ("scan", "book"))
    return "number of features", source_words(source), *sizes, apart
