"""Parameters of notebooks: which there are, where they differ from the study file, and whose results they make."""

from __future__ import annotations

import ast
import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from radsupport import tables as contracts
from radsupport.book import runs
from radsupport.errors import ParameterError, Problem, StudyError
from radsupport.settings.study import Study
from radsupport.study import load_study

#: Parameters of each notebook, and the key of the study file that each one overrides ("" = none).
PARAMETERS: dict[str, dict[str, str]] = {
    "01_cohort": {"study": "", "profile": "", "normality_alpha": "cohort_tables.normality_alpha"},
    "02_preprocessing": {"study": "", "profile": "", "cases_shown": ""},
    "03_radiomics": {"study": "", "profile": "", "icc_threshold": "radiomics.icc_threshold"},
    "04_deep_features": {
        "study": "", "profile": "", "max_epochs": "deep.max_epochs", "aggregation": "deep.aggregation"
    },
    "05_modelling": {
        "study": "", "profile": "", "n_folds": "modelling.folds", "n_repeats": "modelling.repeats",
        "n_permutations": "modelling.permutations", "learners": "",
    },
    "06_validation": {
        "study": "", "profile": "", "n_bootstrap": "validation.bootstrap", "threshold": "", "best": "validation.best",
    },
    "07_survival": {
        "study": "", "profile": "", "n_bootstrap": "survival.bootstrap", "threshold": "",
        "covariates": "survival.covariates",
    },
    "08_nomogram": {"study": "", "profile": "", "signature": "nomogram.signature", "columns": "nomogram.columns"},
    "05_locked": {"study": "", "profile": ""}, "08_locked": {"study": "", "profile": ""},  # of `model:`, as 05 and 08
    "09_robustness": {"study": "", "profile": "", "n_bootstrap": "validation.bootstrap"},
    "10_published": {"study": "", "verdicts_shown": ""},
    "11_change": {"study": "", "profile": ""},
    "12_ibsi": {"study": ""},
    "13_strength": {"study": ""},
}  # fmt: skip
#: Parameters that only say how much of the results is shown, and their value in the notebook.
SHOWN_ONLY = {"cases_shown": 12, "verdicts_shown": "all"}
#: Where the study file has the rule that the parameter `threshold` takes the place of; that may be a function too.
THRESHOLD_OF = {"06_validation": "validation.threshold", "07_survival": "survival.threshold"}


def refuse_unknown_parameters(chapter: str, namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters set in the cells before this one.

    Raises
    ------
    ParameterError
        Some are unknown; all of them are listed with the nearest valid ones.
    """
    valid = PARAMETERS[chapter]
    names = _assigned_before(namespace)
    unknown = [name for name in names if name not in valid]
    if unknown:
        problems = []
        for name in unknown:
            near = difflib.get_close_matches(name, valid, n=1, cutoff=0.4)
            remedy = f"did you mean `{near[0]}`?" if near else "remove it"
            problems.append(Problem("unknown parameter", f"one of {', '.join(valid)}", remedy, column=name))
        raise ParameterError(f"{chapter} can not run with these parameters.", problems)
    return {name: namespace[name] for name in names}


def _assigned_before(namespace: Mapping[str, Any]) -> list[str]:
    """Return the names assigned in the cells run before the first one that checks them."""
    cells: list[str] = []
    for source in namespace.get("In", [])[1:]:
        if re.search(r"\bbegin(_without_study)?\(", source):
            break
        cells.append(source)
    names: list[str] = []
    for node in ast.parse("\n".join(cells)).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        names += [target.id for target in targets if isinstance(target, ast.Name)]
    return list(dict.fromkeys(names))


def differing(chapter: str, values: Mapping[str, Any], study: Study, root: Path) -> dict[str, Any]:
    """Return the parameters whose values are not those of the study file."""
    plain = load_study(study.id, study.profile, root / "studies")
    found: dict[str, Any] = {}
    for name, key in PARAMETERS[chapter].items():
        value = values.get(name)
        if name in ("study", "profile") or value is None:
            continue
        if key:
            section, leaf = key.split(".")
            same = getattr(getattr(study, section), leaf, None) == getattr(getattr(plain, section), leaf, None)
        elif name in SHOWN_ONLY:
            same = value == SHOWN_ONLY[name]
        elif name == "threshold":
            section, leaf = THRESHOLD_OF[chapter].split(".")
            same = value == getattr(getattr(plain, section), leaf)
        else:  # no study file can name it, such as learners of an analyst's own
            same = False
        found |= {} if same else {name: value}
    return found


def run_of(chapter: str, study: Study, given: str, differs: dict[str, Any], root: Path) -> str:
    """Return the run whose results a notebook reads and writes, empty for the book's; a profile can differ too."""
    if os.environ.get(runs.BUILDS):
        settings = {name: value for name, value in differs.items() if name not in SHOWN_ONLY}
        if settings or given:
            places = PARAMETERS[chapter] | {"threshold": THRESHOLD_OF.get(chapter, "")}
            keys = [places[name] for name in settings if places[name]]
            remedy = f"put it into studies/{study.id}.yaml ({', '.join(keys)}), or " if keys else ""
            remedy += "run the notebook by hand"
            problems = [
                Problem("not the study file's", "", remedy, column=k, value=str(v)) for k, v in settings.items()
            ]
            raise ParameterError(
                f"The book of study {study.id}{given} is built with the study file's values.", problems
            )
        return ""
    first = root / "results" / study.id / "01_cohort.json"
    used = contracts.read_chapter_json(first.parent, first.stem)["numbers"] if first.is_file() else {}
    if study.profile != used.get("profile", {}).get("value", "demo"):
        differs["profile"] = study.profile
    known = [name for name in PARAMETERS[chapter] if name != "study"]
    return runs.named(study.id, given, differs, known, root)


def study_with(chapter: str, values: dict[str, Any], root: Path) -> Study:
    """Open the study and put the notebook's parameters over its settings."""
    overrides: dict[str, Any] = {}
    for name, key in PARAMETERS[chapter].items():
        if key and values.get(name) is not None:
            section, leaf = key.split(".")
            overrides.setdefault(section, {})[leaf] = values[name]
    study = str(values.get("study", ""))
    try:
        return load_study(study, str(values.get("profile", "demo")), root / "studies", overrides)
    except StudyError as error:
        valid = ", ".join(f"{name} (sets {key})" if key else name for name, key in PARAMETERS[chapter].items())
        raise ParameterError(f"{error}\nParameters of {chapter}: {valid}.") from error
