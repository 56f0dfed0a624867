"""Methods and results of a study in words, in the order of TRIPOD+AI, as Markdown and as a Word file.

Nothing is typed by hand: methods follow from the study file, results from the numbers that the chapters published.
TRIPOD+AI: Collins et al., BMJ 2024;385:e078378; the numbers of its items stand in the headings.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import unescape
from pathlib import Path
from typing import Any

from radsupport.book.conclusions import cohort
from radsupport.book.conclusions.comparison import VALIDATIONS, over_divisions
from radsupport.book.conclusions.preprocessing import INTERPOLATIONS
from radsupport.book.runs import why_unused
from radsupport.settings.learning import Selection, Signature
from radsupport.settings.study import Study
from radsupport.study import center_names
from radsupport.wording import counted, estimate, fixed, happened, listed, p_value, source_words

#: A heading with its paragraphs, in plain text.
Part = tuple[str, list[str]]
CUTS = {
    "youden": "the largest Youden index", "median": "the median", "half": "0.5",
    "max_logrank": "the maximally selected log-rank statistic",
}  # fmt: skip
_TESTS = {"shapiro": "t or Mann–Whitney test by normality", "t": "t test", "mann_whitney": "Mann–Whitney test"}
#: Keys of what the author says of patients, and of open science.
_WHO = ("design", "setting", "recruitment", "follow_up", "eligibility", "treatments")
_OPEN = ("funding", "conflicts", "protocol", "registration", "data_availability", "code_availability")
_LARGEST = 9999  # beyond which nobody reads the digits of a ratio
_MEASURES = {"auc": "AUC", "c_index": "C-index"}


def texts(study: Study, results: Path) -> dict[str, bytes]:
    """Return methods and results of a study as files by name, ``methods.md``, ``methods.docx`` and the same of results.

    Parameters
    ----------
    study : Study
    results : Path
        Where the chapters wrote their numbers.
    """
    written = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(results.glob("[0-9][0-9]_*.json"))}
    numbers = {key: entry for one in written.values() for key, entry in one["numbers"].items()}
    versions = {name: version for one in written.values() for name, version in one.get("versions", {}).items()}
    ratios = [line for chapter, one in written.items() for line in _ratios(study, chapter, one["numbers"])]
    profile = str(numbers.get("profile", {}).get("value", study.profile))
    found = {"methods": methods(study, versions, profile), "results": outcome(study, numbers, ratios)}
    files: dict[str, bytes] = {}
    for name, parts in found.items():
        title = f"{name.capitalize()}: {' '.join(study.title.split())}"
        files |= {f"{name}.md": _markdown(title, parts).encode("utf-8"), f"{name}.docx": _word_file(title, parts)}
    return files


def methods(study: Study, versions: Mapping[str, str], profile: str) -> list[Part]:
    """Return the methods of a study: data, participants, preparation, outcome, predictors, analysis, evaluation."""
    cohorts = [_cohort(study, key) for key in study.cohorts]
    names = ", ".join(f"{name} {version}" for name, version in versions.items() if name not in _unused(study))
    small = "small networks, " * (not why_unused("04_deep_features", study))
    demo = f" Demonstration settings were used (profile demo): {small}few divisions and resamples."
    entry = "CT scans with outlines and a clinical table" if study.data.entry == "images" else "tables of features"
    missing = "numbers by the median and categories by the most frequent level of the training part of each fold"
    missing = "as the locked model says; what a center does not record was not filled" if study.model else missing
    fixed = study.author.sample_size or "The sample size was not fixed beforehand"
    needed = "events per candidate parameter, and the size that Riley's criteria ask for, are in chapter 01"
    sizes = [f"{fixed.rstrip('.')}." if study.model else f"{fixed.rstrip('.')}; {needed}."]
    horizons = study.endpoint.survival.horizons_months if study.endpoint.survival else []
    times = f" Horizons: {listed([f'{month:g}' for month in horizons])} months." * bool(horizons)
    return [
        ("Source of data (5)", [_source(study), f"The analysis started from {entry}."]),
        ("Participants (6)", [" ".join(study.question.split()), *cohorts, *_said(study, *_WHO)]),
        ("Data preparation (7)", _preparation(study)),
        ("Outcome (8)", [f"Predicted: {cohort.endpoint(study.endpoint)}.{times}"]),
        ("Predictors (9)", [_signature(study, one) for one in study.signatures]),
        ("Sample size (10)", sizes),
        ("Missing data (11)", [f"Missing predictors were filled: {missing}."]),
        ("Analytical methods (12)", _analysis(study)),
        ("Evaluation (12, 16)", _evaluation(study)),
        (
            "Class imbalance, fairness, ethical approval (13, 14, 17)",
            _said(study, "fairness", "ethics") or ["To be written by the authors, under `author:` of the study file."],
        ),
        (
            "Open science (18)",
            [f"Software: {names}.{demo * (profile == 'demo')} {_availability(study)}", *_said(study, *_OPEN)],
        ),
    ]


def _analysis(study: Study) -> list[str]:
    """Say how signatures were fitted, cross-validated and carried to other cohorts, or that nothing was fitted."""
    settings = study.modelling
    if study.model:
        return [f"Nothing was fitted: the locked model {study.model} was applied as it is (seed {study.seed})."]
    taken = [one.name for one in study.signatures if one.learner == "published"]
    mean = settings.external == "mean_of_folds"
    elsewhere = "the mean of the fold models." if mean else "a model refitted to all training patients."
    return [
        f"{'Fitted s' if taken else 'S'}ignatures were cross-validated in {settings.folds} folds stratified by "
        f"the outcome{f', the division drawn {settings.repeats} times' * (settings.repeats > 1)}; "
        f"filling, scaling, selection and tuning ({settings.inner_folds} inner folds) were fitted in the "
        f"training part of each fold only. Seed {study.seed}. Other cohorts were predicted by {elsewhere}",
        f"Control: {counted(settings.permutations, 'run')} with permuted outcomes.",
        *[f"Published outputs, taken as they are: {listed(taken)}."] * bool(taken),
    ]


def _said(study: Study, *keys: str) -> list[str]:
    """Return what the author of a real study says; that of a synthetic one speaks of the paper's patients."""
    said = {key: " ".join(getattr(study.author, key).split()) for key in keys if not study.is_synthetic}
    return [f"{key.replace('_', ' ').capitalize()}: {words.rstrip('.')}." for key, words in said.items() if words]


def _unused(study: Study) -> set[str]:
    """Return the libraries of images that a study does without."""
    without = {"torch", "monai"} if why_unused("04_deep_features", study) else set()
    return without | ({"pyradiomics", "SimpleITK", "nibabel"} if study.data.entry == "features" else set())


def _source(study: Study) -> str:
    key = " of the book's bibliography" * bool(re.fullmatch(r"[\w:.+/-]*", study.citation))
    follows = f" The protocol follows {study.citation}{key}." if study.citation else ""
    if study.is_synthetic:
        return (
            f"Synthetic data: every patient was generated by a program; no result is a finding about people.{follows}"
        )
    given = ", ".join(filter(None, [study.data.dataset, study.data.licence]))
    return f"Real data{f' ({given})' * bool(given)}.{follows}"


#: What a cohort is for, where its name does not say so.
_ROLES = {"train": "training", "internal": "internal validation", "external": "external validation"}


def _called(study: Study, key: Any) -> str:
    """Return a cohort's name, with what it is for where the name does not say so."""
    name, role = study.cohorts[key].name, _ROLES.get(str(key).partition("_")[0], "")
    return f"{name} ({role})" if role and role.split()[0] not in name.lower() else name


def _cohort(study: Study, key: Any) -> str:
    one = study.cohorts[key]
    if key == "segmentation":
        return f"{one.name[:1].upper()}{one.name[1:]}: outlines that train the network; no outcome is used."
    called = _called(study, key)
    part = f"a random {one.share:.0%} of " if one.share is not None else ""
    kind = f" It is {VALIDATIONS[one.validation]}." if one.validation else ""
    names = [center_names(study)[center] for center in one.centers]
    which = "" if names == [one.name] else f" ({listed(names, 20)})"
    return f"{called[:1].upper()}{called[1:]}: {part}{counted(len(names), 'center')}{which}.{kind}"


def _preparation(study: Study) -> list[str]:
    if study.data.entry == "features":
        return ["Features were taken as published; columns without a value were left out."]
    spacing = " × ".join(f"{side:g}" for side in study.preprocessing.spacing_mm)
    how = INTERPOLATIONS[study.preprocessing.interpolation]
    windows = [f"{one.name} {one.window.level:g}/{one.window.width:g} HU" for one in study.phases.values()]
    lines = [f"Scans were resampled to {spacing} mm ({how} interpolation). Phases and windows: {listed(windows)}."]
    if study.radiomics is not None and not why_unused("03_radiomics", study):
        known = study.radiomics.icc_threshold
        stable = f"; reproducible: {study.radiomics.icc_kind} of at least {known:g}" if known is not None else ""
        inside = ", HU outside the window of the phase cut off first" * study.radiomics.windowed
        lines.append(f"Radiomic features: pyradiomics, settings {study.radiomics.settings}{inside}{stable}.")
    if study.deep is not None and not why_unused("04_deep_features", study):
        lines.append(f"Deep features: {_NETWORKS[study.deep.network].format(getattr(study.deep, 'depth', ''))}.")
    return lines


_NETWORKS = {"unet": "a 2-D U-Net that learns to outline", "resnet": "a ResNet-{}", "cnn3d": "a 3-D CNN"}


def _labels(study: Study, terms: Sequence[str]) -> list[str]:
    """Return columns by their labels; what is no column of the study as it is."""
    return [study.columns[term].label if term in study.columns else term for term in terms]


def _signature(study: Study, one: Signature) -> str:
    sources = [{"deep": "deep features", "radiomics": "radiomic features"}.get(s, source_words(s)) for s in one.sources]
    given = [*sources, *_labels(study, one.columns), *one.combines]
    phases = f" of the {listed([study.phases[p].name for p in one.phases])}" if one.phases and study.phases else ""
    if one.learner == "published":
        return f"{one.name}: {listed(given, 20)}, taken as it is."
    chosen = f"; selection: {how}" if (how := _selection(one.selection)) else ""
    return f"{one.name}: {listed(given, 20)}{phases}; {one.learner}{chosen}{'; ComBat' * one.harmonise}."


def _selection(one: Selection) -> str:
    steps = ["reproducible features"] * one.icc
    adjusted = ", adjusted by Benjamini and Hochberg" * (one.adjust == "bh")
    steps += [f"{_TESTS[one.test]} at {one.alpha:g}{adjusted}"] if one.test != "none" else []
    steps += [f"Cox regression alone and together, P < {one.alpha:g} in both"] * one.cox
    steps += [f"|r| at most {one.max_correlation:g}"] if one.max_correlation is not None else []
    return ", ".join([*steps, *[f"LASSO ({one.lasso_rule})"] * one.lasso])


def _evaluation(study: Study) -> list[str]:
    judged, survival = study.validation, study.survival
    labelled = study.endpoint.primary == "label"
    told = "AUC with DeLong's" if labelled else "C-index of Harrell with the jackknife's"
    folds = "" if study.model else ", out of fold in training"
    cut, groups = (
        "that of the model's file" if study.model else f"fixed in training ({CUTS[one.threshold]})"
        for one in (judged, survival)
    )
    best = f" The signature singled out beforehand: {judged.best}." if judged.best else ""
    lines = [
        f"Discrimination: {told} 95% confidence interval{folds}; {judged.bootstrap} resamples where an interval is by "
        f"bootstrap. The threshold of classification was {cut}. Calibration, Brier score and decision curves were "
        f"judged in every cohort; no model was refitted to a test cohort.{best}"
    ]
    if not why_unused("07_survival", study):
        terms = f" Cox models held {listed(_labels(study, survival.covariates), 20)}." if survival.covariates else ""
        lines.append(
            f"Risk groups were divided at a cut-off that was {groups} and "
            f"compared by the log-rank test; {survival.bootstrap} resamples of AUC(t).{terms}"
        )
    if not why_unused("08_nomogram", study):
        parts = [study.nomogram.signature, *study.nomogram.further_signatures, *_labels(study, study.nomogram.columns)]
        kind = "Cox" if study.nomogram.model == "cox" else study.nomogram.model
        lines.append(f"Nomogram ({kind} model): {listed(parts, 20)}.")
    return lines


def _availability(study: Study) -> str:
    return f"Notebooks, study file ({study.id}.yaml), figures with their tables and numbers are in the study's archive."


def outcome(study: Study, numbers: Mapping[str, Any], ratios: Sequence[str] = ()) -> list[Part]:
    """Return the results of a study: participants, development, specification (`ratios`), performance, limitations."""
    key, measure = next(
        (
            (k, words)
            for k, words in _MEASURES.items()
            for one in study.cohorts
            if any(n.startswith(f"{k}_{one}_") for n in numbers)
        ),
        ("", ""),
    )
    counts = [_size(study, numbers, one) for one in study.cohorts if f"n_{one}" in numbers]
    chosen = [
        f"{name.removeprefix('features_')}: features left after each step of selection, {entry['value']}, in "
        f"{counted(entry['n'], 'patient')}."
        for name, entry in numbers.items()
        if name.startswith("features_")
    ]
    cautions = [" ".join(str(caution).split()) for caution in study.cautions]
    invented = ["All patients are synthetic: these numbers are no findings about people."] * study.is_synthetic
    shorts = {name: _short(numbers, name) for name in ("05_modelling", "06_validation", "07_survival", "08_nomogram")}
    parts: list[Part] = [
        ("Participants (20)", [*invented, *counts]),
        ("Model development (21)", [*chosen, *shorts["05_modelling"]]),
        ("Model specification (22)", list(ratios)),
        ("Model performance (23)", [*_scores(study, numbers, key, measure), *shorts["06_validation"]]),
        ("Survival (23)", shorts["07_survival"] + _logrank(study, numbers)),
        ("Nomogram (23)", shorts["08_nomogram"]),
        ("Limitations (26)", cautions),
    ]
    return [(heading, lines) for heading, lines in parts if lines]


def _size(study: Study, numbers: Mapping[str, Any], key: Any) -> str:
    events = numbers.get(f"n_events_{key}", {}).get("value")
    known = f", {happened(int(events), study.endpoint.event_name)}" if events is not None else ""
    return f"{_called(study, key)}: {counted(int(numbers[f'n_{key}']['value']), 'patient')}{known}."


def _scores(study: Study, numbers: Mapping[str, Any], key: str, measure: str) -> list[str]:
    """Return a line per cohort: the measure of each signature, then what else was estimated of one of them."""
    lines = []
    for one in study.cohorts if key else ():
        found = [f"{s.name} {_judged(numbers, key, one, s)}" for s in study.signatures
                 if f"{key}_{one}_{s.name}" in numbers]  # fmt: skip
        lines += [f"{measure}, {_called(study, one)}: {'; '.join(found)}."] if found else []
        for s in study.signatures:
            rates = [f"{what} {_value(numbers, f'{what}_{one}_{s.name}')}" for what in
                     ("accuracy", "sensitivity", "specificity") if f"{what}_{one}_{s.name}" in numbers]  # fmt: skip
            lines += [f"{s.name}, {_called(study, one)}: {'; '.join(rates)}."] if rates else []
    return lines


def _judged(numbers: Mapping[str, Any], key: str, cohort: Any, signature: Signature) -> str:
    """Word a value of discrimination: in training the mean over divisions first, where there were several."""
    fitted = cohort == "train" and signature.learner != "published"
    before, beside = over_divisions(numbers, signature.name) if fitted else ("", "")
    return f"{before}{_value(numbers, f'{key}_{cohort}_{signature.name}')}{f', {beside}' * bool(beside)}"


def _value(numbers: Mapping[str, Any], key: str) -> str:
    entry = numbers[key]
    interval = entry.get("ci_low") is not None
    words = estimate(entry["value"], entry["ci_low"], entry["ci_high"]) if interval else fixed(entry["value"])
    return words + f", n = {entry['n']}" * bool(entry.get("n"))


def _ratios(study: Study, chapter: str, numbers: Mapping[str, Any]) -> list[str]:
    """Return the ratios of the multivariable model of a chapter in one line."""
    kinds = {"hr_together_": "hazard ratios of the Cox model", "or_together_": "odds ratios of the logistic model"}
    lines = []
    for prefix, words in kinds.items():
        found = {_term(study, name.removeprefix(prefix)): entry for name, entry in numbers.items()
                 if name.startswith(prefix)}  # fmt: skip
        held = "; ".join(f"{name} {_ratio(entry)}" for name, entry in found.items())
        sizes = {entry["n"] for entry in found.values()}
        unit = "; of a signature for a risk that rises by 1" * (chapter[:2] == "08")
        lines += [f"Chapter {chapter[:2]}, {words}{unit}, n = {listed(sorted(sizes))}: {held}."] if found else []
    return lines


def _term(study: Study, key: str) -> str:
    """Return the term of a regression in words: a column by its label, with the level behind it."""
    column = max((name for name in study.columns if f"{key}_".startswith(f"{name}_")), key=len, default="")
    words = f"{study.columns[column].label} {key.removeprefix(column)}" if column else key
    return " ".join(words.replace("_", " ").split())


def _ratio(entry: Mapping[str, Any]) -> str:
    numbers = (entry["value"], entry["ci_low"], entry["ci_high"])
    value, low, high = (f">{_LARGEST}" if number > _LARGEST else fixed(number) for number in numbers)
    return f"{value} ({low}–{high})"


def _logrank(study: Study, numbers: Mapping[str, Any]) -> list[str]:
    return [
        f"Log-rank test, {s.name}, {study.cohorts[one].name}: {p_value(entry['value'])}, n = {entry['n']}."
        for one in study.cohorts
        for s in study.signatures
        if s.name != (study.survival.signatures or [study.validation.best or study.signatures[0].name])[0]
        and (entry := numbers.get(f"logrank_p_{one}_{s.name}"))
        and entry["value"] is not None
    ]


def _short(numbers: Mapping[str, Any], chapter: str) -> list[str]:
    """Return all that a chapter finds, of which its short answer is the most important part, as plain lines."""
    words = str(numbers.get(f"found_{chapter}", {}).get("value") or "")
    plain = unescape(re.sub(r"\*\*(.+?)\*\*", r"\1", words))
    return [line.removeprefix("- ").strip() for line in plain.splitlines() if line.strip()]


def _markdown(title: str, parts: Sequence[Part]) -> str:
    lines = [f"# {_escaped(title)}\n"]
    for heading, paragraphs in parts:
        lines += [f"## {heading}\n", *(f"{_escaped(one)}\n" for one in paragraphs)]
    return "\n".join(lines)


#: What CommonMark would take for markup: within a line, and where one begins.
_MARKUP = re.compile(r"[\\`*\[\]]|<(?=[A-Za-z/!?])|&(?=#?\w+;)|(?<!\w)_|_(?!\w)|^[-+#=>]")
_NUMBERED = re.compile(r"^(\d{1,9})(?=[.)])")


def _escaped(text: str) -> str:
    """Return Markdown of one line that shows a text as it is written, and reads well as a file, too."""
    words = _MARKUP.sub(lambda found: f"\\{found[0]}", " ".join(text.split()))
    return _NUMBERED.sub(lambda found: f"{found[1]}\\", words)


def _word_file(title: str, parts: Sequence[Part]) -> bytes:
    """Return a Word file with headings and paragraphs; the same words give the same bytes."""
    from docx import Document  # only where a site is made

    document = Document()
    document.core_properties.author, document.core_properties.title = "", title
    document.core_properties.comments = ""
    document.core_properties.created = document.core_properties.modified = datetime(2000, 1, 1)
    document.add_heading(_printable(title), 0)
    for heading, paragraphs in parts:
        document.add_heading(heading, 1)
        for one in paragraphs:
            document.add_paragraph(_printable(one))
    buffer, fixed_times = io.BytesIO(), io.BytesIO()
    document.save(buffer)
    with zipfile.ZipFile(buffer) as made, zipfile.ZipFile(fixed_times, "w", zipfile.ZIP_DEFLATED) as kept:
        for part in made.infolist():
            kept.writestr(zipfile.ZipInfo(part.filename, (2000, 1, 1, 0, 0, 0)), made.read(part), zipfile.ZIP_DEFLATED)
    return fixed_times.getvalue()


def _printable(text: str) -> str:
    """Return a text without characters that XML can not hold."""
    return "".join(one for one in text if one in "\t\n" or ord(one) > 31)
