"""What every notebook does first and last: check its parameters, open its study, write its numbers."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pandas as pd
import yaml
from IPython.display import HTML, display

from radsupport import tables as contracts
from radsupport.book import runs, text
from radsupport.book.conclusions.comparison import NOT_SCORED
from radsupport.book.conclusions.validation import distrusted
from radsupport.book.parameters import differing, refuse_unknown_parameters, run_of, study_with
from radsupport.book.printed import TESTS, cautions_words, printed_beside, printed_words
from radsupport.book.printed_tables import cells_of, printed_tables
from radsupport.book.runs import banner, why_unused
from radsupport.book.show import save_figures_to, show_text, word_values
from radsupport.checks import cohorts_in_order
from radsupport.data.people import known_subjects, subjects_of
from radsupport.errors import (
    ContractError,
    ParameterError,
    RadsupportError,
    UnusedChapterError,
)
from radsupport.files import sha256, write_csv, written_whole
from radsupport.settings.parts import SourceName
from radsupport.settings.study import Study
from radsupport.study import StudyPaths, center_names, load_study
from radsupport.wording import center_words, counted, listed, source_words

#: Columns of a baseline table that are no group.
BASELINE = ("variable", "level", "overall", "missing", "test", "statistic", "p")
#: How many lines a short answer has, and the words beyond which it has no more than the least of them.
LEAST, MOST, WORDS = 3, 5, 120


@dataclass
class Chapter:
    """One chapter of one study: its settings, its folders, and the numbers it publishes."""

    name: str
    study: Study
    paths: StudyPaths
    parameters: dict[str, Any]
    numbers: dict[str, Any] = field(default_factory=dict)
    inputs: set[Path] = field(default_factory=set)
    stamp: dict[str, Any] = field(default_factory=dict)

    def read(self, table: str, without: Sequence[str] = ()) -> pd.DataFrame:
        """Return a contract table written by an earlier chapter; where there is none, one `without` rows, if named.

        Raises
        ------
        ContractError
            The table is not there, or does not keep its contract.
        """
        if without and not (self.paths.results / f"{table}.parquet").is_file():
            return pd.DataFrame(columns=list(without))
        self.inputs.add(self.paths.results / f"{table}.parquet")
        found = contracts.read_table(table, self.paths.results, self.paths.root)
        text.know(found)
        return found

    def write(self, frame: pd.DataFrame, table: str) -> None:
        """Check a table against its contract and write it."""
        text.know(frame)
        path = contracts.write_table(frame, table, self.paths.results, self.paths.root)
        self.stamp.setdefault("wrote", {})[path.name] = sha256(path)

    def publish(self, key: str, value: Any, *, n: int | None = None, ci: tuple[float, float] | None = None) -> None:
        """Keep a number for the landing page and the comparison tables."""
        self.numbers[key] = {"value": value, "n": n, "ci_low": ci[0] if ci else None, "ci_high": ci[1] if ci else None}

    def publish_all(self, numbers: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep numbers by key, each a mapping with value, n, and where it has an interval ci_low and ci_high."""
        for key, entry in numbers.items():
            ci = (entry["ci_low"], entry["ci_high"]) if "ci_low" in entry else None
            self.publish(key, entry["value"], n=entry["n"], ci=ci)

    @staticmethod
    def estimates(table: pd.DataFrame, key: str, value: str = "value") -> dict[str, dict[str, Any]]:
        """Return the estimates of a table by key, as `publish_all` and `printed` take them.

        Parameters
        ----------
        table : DataFrame
        key : str
            Filled with the columns of a row, such as ``"auc_{cohort}_{signature}"``.
        value : str
            The column of the estimate; its limits are ``<value>_low`` and ``<value>_high``.

        Returns
        -------
        dict
            value, n, and where the table has limits ci_low and ci_high; rows without an estimate are left out.
        """
        found = {}
        for row in table.dropna(subset=[value]).to_dict("records") if len(table) else []:
            entry: dict[str, Any] = {"value": float(row[value]), "n": int(row["n"])}
            if f"{value}_low" in row:
                entry |= {"ci_low": float(row[f"{value}_low"]), "ci_high": float(row[f"{value}_high"])}
            found[key.format_map({str(name): item for name, item in row.items()})] = entry
        return found

    @staticmethod
    def described(table: pd.DataFrame, key: str, levels: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
        """Return the cells of a baseline table by key, as `printed_tables` takes them.

        Parameters
        ----------
        table : DataFrame
            What `radsupport.stats.table_one.baseline_table` or `printed_baseline` returns; may be empty.
        key : str
            Begin of each key: ``<key>_<variable>_<level>_<group>`` for the text of a category,
            ``<key>_<variable>_<group>`` for that of a number, ``p_<key>_<variable>`` for a P-value,
            ``statistic_<key>_<variable>`` for the statistic of its test.
        levels : mapping
            Categories of the variables that have some; nobody is in one that the table lacks.
        """
        table = pd.DataFrame(table.attrs.get("cells", table))
        groups = [str(name) for name in table if name not in BASELINE and not str(name).startswith("p_")]
        found: dict[str, Any] = {}
        for variable, part in table.groupby("variable", sort=False) if len(table) else ():
            rows = {str(row["level"]): row for row in part.to_dict("records")}
            if variable in levels:
                cells = {f"{variable}_{level}": rows.get(level, {}) for level in levels[str(variable)]}
            else:
                cells = {str(variable): next(iter(rows.values()))}
            for name, row in cells.items():
                found |= {f"{key}_{name}_{group}": row.get(group, "0 (0.0)") for group in groups}
            found |= {f"p_{key}_{variable}": p for p in part["p"].dropna()}
            found |= {f"statistic_{key}_{variable}": value for value in part["statistic"].dropna()}
        size = int(table["overall"].iloc[0]) if len(table) else 0
        return {name: {"value": value, "n": size} for name, value in found.items()}

    def publish_headline(
        self,
        scores: pd.DataFrame,
        signature: str,
        *,
        rows: pd.DataFrame | None = None,
        rivals: pd.DataFrame | None = None,
        calibration: pd.DataFrame | None = None,
        useful: pd.DataFrame | None = None,
    ) -> None:
        """Publish one signature's main numbers in training and in other cohorts, within centers where several.

        The first external one (else the internal one) is called ``headline_external``, every further external one
        ``headline_<cohort>``.

        Parameters
        ----------
        scores : DataFrame
            `evaluate.discrimination` by cohort and signature.
        signature : str
        rows : DataFrame, optional
            `evaluate.judged`: no difference is published from a signature whose risks hardly vary.
        rivals, calibration, useful : DataFrame, optional
            `evaluate.rivals`, and `evaluate.calibration` and `evaluate.usefulness` by cohort (and horizon: the last one
            counts) and signature.
        """
        from radsupport.evaluate.discrimination import headline  # other chapters need not wait for the learners
        from radsupport.evaluate.summary import flat_signatures

        main = headline(scores)[lambda table: table["signature"] == signature].set_index("cohort", drop=False)
        if rows is not None and rivals is not None and len(rivals) and (main["measure"] == "AUC").any():
            flat = list(flat_signatures(rows))
            rivals = rivals[~(rivals["signature_a"].isin(flat) | rivals["signature_b"].isin(flat))]
        other = [key for key in cohorts_in_order(main["cohort"]) if key != "train"]
        other = sorted(other, key=lambda key: key == "internal")  # external ones first
        further = {f"headline_{name}": [name] for name in other[1:] if name != "internal"}
        for key, cohorts in {"headline_train": ["train"], "headline_external": other[:1], **further}.items():
            part = main[main["cohort"].isin(cohorts)]
            found = self.estimates(part, key)
            self.publish_all(found)
            for name in found:
                self.publish(f"{name}_signature", f"{signature} ({part['measure'].iloc[0]})")
                self.publish(f"{name}_cohort", cohorts[0])
                self.publish(f"{name}_pooled", bool(part.get("pooled", pd.Series(dtype=float)).notna().any()))
                self._publish_known(name, part, {"events": "events", "p": "p_chance"})
                for role, roles in {"rival": ["comparator", "both"], "simple": ["simple"]}.items():
                    beside = _of(rivals, cohorts, "role", roles).tail(1)
                    self.publish_all(self.estimates(beside, f"{name}_{role}", "difference"))
                    self._publish_known(f"{name}_{role}", beside, {"name": "signature_b", "p": "p"})
                risks = _of(calibration, cohorts, "signature", [signature])
                self._publish_known(name, risks, {one: one for one in ("predicted", "observed", "horizon")})
                self._publish_known(name, _of(useful, cohorts, "signature", [signature]), {"useful": "better_at"})

    def publish_beside(self, table: pd.DataFrame, signature: str, clinical: str = "", volume: str = "") -> None:
        """Publish one signature minus volume alone, and minus the clinical model, in the cohorts of the headlines.

        Parameters
        ----------
        table : DataFrame
            `evaluate.comparators.beside`.
        signature : str
        clinical : str
            The study's own comparator, which is preferred where no clinical model was fitted for this page.
        volume : str
            Where the volume comes from; empty where there is none.
        """
        from radsupport.evaluate.comparators import CLINICAL, VOLUME  # other chapters need not wait for the learners

        self.publish("no_volume", not volume)
        self.publish_all(self.estimates(table, "beside_{cohort}_{signature}_{beside}", "difference"))
        own = table[(table["signature"] == signature) & table["difference"].notna()].astype({"cohort": str})
        known = [name for name in dict.fromkeys([CLINICAL, clinical, *own["beside"]]) if name in set(own["beside"])]
        judged = self.published("06_validation", missing_ok=True)
        for key in ("headline_train", "headline_external"):
            cohort = judged.get(f"{key}_cohort", {}).get("value")
            for role, name in {"volume": VOLUME, "clinical": next((n for n in known if n != VOLUME), "")}.items():
                row = own[(own["cohort"] == cohort) & (own["beside"] == name)]
                self.publish_all(self.estimates(row, f"{key}_{role}", "difference"))
                self._publish_known(f"{key}_{role}", row, {"name": "beside", "signature": "signature", "p": "p"})

    def rigour(
        self, predictions: pd.DataFrame, cohort: pd.DataFrame, best: str, outcome: tuple[str, ...]
    ) -> pd.DataFrame:
        """Return what the run shows of the rules of rigour, and write it (`book.rigour.of_run`)."""
        from radsupport.book import rigour  # other chapters need not wait for the learners

        numbers: dict[str, Any] = {}
        for name in runs.UPSTREAM:
            numbers |= self.published(name, missing_ok=True) if name != self.name else {}
        return rigour.of_run(self.study, self.paths.results, numbers | self.numbers, predictions, cohort, best, outcome)

    def _publish_known(self, key: str, table: pd.DataFrame, columns: Mapping[str, str]) -> None:
        """Publish columns of a table's last row, where they are known."""
        for row in table.tail(1).to_dict("records"):
            for name, column in columns.items():
                if pd.notna(row.get(column)):
                    self.publish(f"{key}_{name}", row[column])

    def publish_coefficients(
        self, table: pd.DataFrame, part: str, ratio: str = "hr", names: Mapping[str, str] | None = None
    ) -> None:
        """Keep the ratios of a regression as ``hr_alone_age``, ``or_together_sex_male`` … with the n of the model.

        Wald's P of each is kept as ``p_hr_alone_age``.

        Parameters
        ----------
        table : DataFrame
            What `univariable_table` or `multivariable_table` returns; rows of reference levels are left out.
        part : {"alone", "together"}
        ratio : {"hr", "odds_ratio"}
        names : mapping, optional
            Name of a term in the key, where it is not the column's.
        """
        prefix = f"{'or' if ratio == 'odds_ratio' else 'hr'}_{part}"
        size = table.groupby("term")["n"].sum()  # of the model: all levels of a characteristic together
        for row in table[~table["reference"].astype(bool) & table[ratio].notna()].to_dict("records"):
            spline = row["level"] and row.get("covariate") == row["term"]
            level = "quartiles" if spline else row["level"]
            key = "_".join(filter(None, [prefix, (names or {}).get(row["term"], row["term"]), level]))
            ci = (float(row["ci_low"]), float(row["ci_high"]))
            self.publish(key, float(row[ratio]), n=int(size[row["term"]]), ci=ci)
            self.publish(f"p_{key}", float(row["p"]), n=int(size[row["term"]]))

    def published(self, chapter: str, *, missing_ok: bool = False) -> dict[str, Any]:
        """Return the numbers that an earlier chapter published; none where it did not run, if that may be."""
        try:
            return contracts.read_chapter_json(self.paths.results, chapter)["numbers"]
        except ContractError:
            if missing_ok:
                return {}
            raise

    @cached_property
    def model(self) -> Any:
        """The locked model that the study only validates; None where a model is fitted here."""
        from radsupport.learning import read_model  # other chapters need not wait for the learners

        return read_model(self.paths.root / self.study.model) if self.study.model else None

    def locked(self, key: str = "") -> dict[str, Any]:
        """Return the signatures of the locked model, or what it says of each, such as a "threshold", where it does."""
        found = (self.model.signatures if self.model is not None else {}).items()
        return {name: value for name, one in found if (value := getattr(one, key) if key else one) is not None}

    def locked_nomogram(self) -> tuple[Any, dict[str, str], Any]:
        """Return the nomogram beside the locked model, its columns' signatures, and it as `evaluate.lock` takes it."""
        from radsupport.learning.locked import Translation
        from radsupport.nomogram import Nomogram

        folder = self.paths.root / self.study.model
        folder = folder if folder.is_dir() else folder.parent
        plain = json.loads((folder / "nomogram.json").read_text(encoding="utf-8"))
        drawn = Nomogram.from_dict(plain["nomogram"])
        steps = {"times": list(drawn.baseline_time), "hazard": list(drawn.baseline_hazard)}
        end = drawn.max_time if drawn.kind == "cox" else None
        told = Translation.model_validate({"rule": "the nomogram", "slope": 1.0, "end": end} | steps)
        return drawn, plain["signatures"], SimpleNamespace(probability=told, n=0, events=0)

    def _unscored(self) -> list[dict[str, Any]]:
        """Return cohort, signature, n and note of those whom chapter 05 could not score at a whole center, and why."""
        found = self.published("05_modelling", missing_ok=True)
        own = {tuple(key.split(":", 2)[1:]): one for key, one in found.items() if key.startswith(NOT_SCORED)}
        return [
            {"cohort": cohort, "signature": name, "n": one["n"], "note": f"not scored: {one['value']}"}
            for (cohort, name), one in own.items()
        ]

    def with_unscored(self, scores: pd.DataFrame) -> pd.DataFrame:
        """Return a table by cohort and signature with a row, and its reason, for each that a center can not have."""
        if not (rows := self._unscored()):
            return scores
        more = pd.DataFrame(rows).assign(measure=scores["measure"].iloc[0])
        return pd.concat([scores.astype({"cohort": str, "signature": str}), more], ignore_index=True)

    def why_unscored(self, signatures: Sequence[str]) -> str:
        """Say which of these signatures have no value of patients of a cohort, and why; empty where all have."""
        names = self.study.cohort_names
        return " ".join(
            f"**{one['signature']}** in {names[one['cohort']]}: {counted(one['n'], 'patient')} {one['note']}."
            for one in self._unscored()
            if one["signature"] in signatures
        )

    def full_settings(self) -> Study:
        """Return the study with the settings of a full run, which are those that the paper prints, where it does."""
        return load_study(self.study.id, "paper", self.paths.root / "studies")

    def lock_model(self, run: Any, assembly: Any, validated: pd.DataFrame) -> str:
        """Write the locked model of a run to ``model/`` (`learning.write_model`) with its card, and return the card.

        Thresholds and probabilities are those that chapters 06 and 07 fix on the training rows.

        Parameters
        ----------
        run : SignatureRun
        assembly : Assembly
        validated : DataFrame
            What `evaluate.cross_validation` returns: what each signature was worth where it was fitted.
        """
        from radsupport import evaluate, learning  # other chapters need not wait for them
        from radsupport.book.conclusions.modelling import card

        study, outcome, survival = self.study, tuple(assembly.outcome), self.study.endpoint.survival
        rows = evaluate.judged(run.predictions, outcome)
        followed = evaluate.judged(run.predictions, ("time", "event")) if survival else rows.head(0)
        published = [one.name for one in study.signatures if one.learner == "published"]
        translated = evaluate.lock(rows, outcome, published, study.seed)
        folder = self.paths.results / "model"
        model = learning.write_model(
            folder, run, assembly, external=study.modelling.external, beside=self.paths.results / "networks.pt",
            thresholds=evaluate.threshold(rows, study.validation.threshold, outcome),
            group_thresholds=evaluate.threshold(followed, study.survival.threshold),
            probabilities={name: one.plain for name, one in translated.items()},
            horizons=survival.horizons_months if survival and outcome != ("label",) else (),
            about=self._about(), settings=study.model_dump(mode="json", exclude={"author"}),
        )  # fmt: skip
        words = card(model, validated)
        (folder / "card.md").write_text(words, encoding="utf-8")
        return words

    @property
    def center_names(self) -> dict[str, str]:
        """What each center is called, by its key."""
        return center_names(self.study)

    def lock_nomogram(self, drawn: Any, signatures: Mapping[str, str]) -> None:
        """Write a nomogram beside the locked model, with the name of the signature in each of its columns."""
        path = self.paths.results / "model" / "nomogram.json"
        path.unlink(missing_ok=True)
        if drawn is not None and path.parent.is_dir():
            plain = {"signatures": dict(signatures), "nomogram": drawn.to_dict()}
            with written_whole(path) as partial:
                partial.write_text(json.dumps(plain, indent=1, ensure_ascii=False, default=float), encoding="utf-8")

    def scan_to_answer(self) -> pd.DataFrame:
        """Return one patient's numbers by the locked model, from the scans on (`data.scan_to_answer`)."""
        from radsupport.data import scan_to_answer  # networks and radiomics: other chapters need not wait

        return scan_to_answer(self.study, self.paths.results, self.paths.root, self.paths.cache / "radiomics")

    def _about(self) -> dict[str, Any]:
        """Return where a locked model comes from: study, licence, hash of the settings, versions, pyradiomics file."""
        study, settings, used = self.study, self.study.model_dump(mode="json", exclude={"author"}), None
        if study.radiomics is not None:
            path = self.paths.root / "studies" / "radiomics" / study.radiomics.settings
            used = yaml.safe_load(path.read_text(encoding="utf-8"))
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        named = {key: getattr(study, key) for key in ("id", "title", "citation", "profile", "seed")}
        named |= {"synthetic": study.is_synthetic, "licence": study.data.licence, "outcome": study.endpoint.event_name}
        return named | {"settings_sha256": digest, "versions": contracts.library_versions(), "pyradiomics": used}

    def printed(self, numbers: Mapping[str, Mapping[str, Any]] | None = None) -> pd.DataFrame:
        """Return what the paper printed for this chapter beside its numbers, or beside others, by `printed_beside`."""
        return printed_beside(self.study, self.name[:2], self.numbers if numbers is None else numbers)

    def printed_tables(self, numbers: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, pd.DataFrame]:
        """Return the paper's own tables with this chapter's numbers, or others, below the printed ones, by caption."""
        return printed_tables(self.study, self.name[:2], self.numbers if numbers is None else numbers)

    def quoted(self) -> set[str]:
        """Return the keys of all numbers of this build that stand beside a printed one of this chapter."""
        own = {entry.ours for entry in self.study.published if entry.chapter == self.name[:2]}
        return own | set(cells_of(self.study, self.name[:2])["ours"])

    def printed_words(self) -> str:
        """Say what the printed values beside ours can and can not show, or that there are none."""
        return printed_words(self.study, self.name[:2], laid_out=len(cells_of(self.study, self.name[:2])) > 0)

    def at_centers(self, table: pd.DataFrame, column: str) -> pd.DataFrame:
        """Return a table with the names of centers in words, for a figure; `show_table` words them itself."""
        return table.replace({column: center_names(self.study)})

    def cautions(self) -> str:
        """Return the cautions of this chapter as a Markdown list, or that the study file has none."""
        return cautions_words(self.study, self.name[:2])

    def doubts(self, shown: Sequence[str]) -> str:
        """Repeat which signatures shown here are on another scale, or met patients before; empty where none does."""
        modelling, study = self.published("05_modelling", missing_ok=True), self.study
        return distrusted(modelling, study.signatures, shown, study.cohort_names, study.cohorts)

    def in_short(self, *sentences: str, full: str = "") -> None:
        """Show the short answer of the page, and keep it for the study's first page; empty lines are left out.

        Lines stand in the order of their importance, warnings (in bold) behind the first. There are at most `MOST`:
        warnings share a line where there are more, and what then is over, or goes beyond `WORDS` words, is left out, as
        its own section says it, too. On the site the answer stands on top of the page. `full` is all that is found,
        line by line, for the study's results in words and the doubts of its first page; by default the sentences.
        """
        lines = _lines(*sentences)
        first, warnings = lines[:1], [line for line in lines[1:] if line.startswith("**")]
        others = [line for line in lines[1:] if line not in warnings]
        warnings = [" ".join(warnings)] if warnings and len(lines) > MOST else warnings
        kept = [*first, *warnings]
        for line in others:
            if len(kept) < LEAST or (len(kept) < MOST and len(" ".join([*kept, line]).split()) <= WORDS):
                kept.append(line)
        words = text.sentence("\n".join(f"- {line}" for line in kept))
        show_text(words)
        self.publish(f"in_short_{self.name}", words)
        found = _lines(full) or lines
        self.publish(f"found_{self.name}", text.sentence("\n".join(f"- {line}" for line in found)))

    def finish(self) -> None:
        """Write ``<chapter>.json``; without it the chapter counts as not done."""
        self.publish("profile", self.study.profile)
        if len(key := text.numbers_given()):  # who is who on this page; never published
            write_csv(key, self.paths.results / "patients" / f"{self.name}.csv")
        folder, inputs = self.paths.results, sorted(self.inputs)
        contracts.write_chapter_json(folder, self.name, self.numbers, self.study.seed, inputs, self.stamp)


def _lines(*sentences: str) -> list[str]:
    """Return the lines of sentences, without the dashes of a list."""
    return [line.removeprefix("- ") for one in sentences for line in one.splitlines() if line.strip()]


def _of(table: pd.DataFrame | None, cohorts: Sequence[str], column: str, values: Sequence[str]) -> pd.DataFrame:
    """Return the rows of cohorts that have certain values; none of a table that is not there or empty."""
    if table is None or not {"cohort", column} <= set(table):
        return pd.DataFrame()
    return table[table["cohort"].isin(list(cohorts)) & table[column].isin(list(values))]


def begin(chapter: str, namespace: Mapping[str, Any], root: Path | None = None) -> Chapter:
    """Check a notebook's parameters, open its study and show what kind of data it holds.

    Parameters
    ----------
    chapter : str
        Name of the notebook without ``.ipynb``.
    namespace : mapping
        The notebook's ``globals()``.
    root : Path, optional
        Project root; the current folder or the nearest parent with a folder ``studies``.

    Raises
    ------
    ParameterError
        An unknown parameter, or a value that the study file would not accept either; the message
        lists the valid ones.
    """
    opened, notes = opening(chapter, namespace, root)
    for note in notes:
        display(HTML(note))
    reason = why_unused(chapter, opened.study)
    if reason:
        opened.finish()
        study = opened.study.id
        raise UnusedChapterError(f"Study {study} does not use chapter {chapter}: {reason}. Nothing more to run.")
    return opened


def opening(chapter: str, namespace: Mapping[str, Any], root: Path | None = None) -> tuple[Chapter, list[str]]:
    """Return what `begin` opens, and as HTML what it shows: whose data these are, and why the chapter is not used."""
    values = refuse_unknown_parameters(chapter, namespace)
    root = root or _root(Path.cwd())
    values["study"], mark, run = str(values.get("study", "")).partition("@")
    study = study_with(chapter, values, root)
    differs = differing(chapter, values, study, root)
    run = run_of(chapter, study, mark + run, differs, root)
    paths = StudyPaths(study.id, root, run)
    paths.results.mkdir(parents=True, exist_ok=True)
    if run:
        runs.start(root, study.id, run, chapter)
    study_file = root / "studies" / f"{study.id}.yaml"
    runs.refuse_mixtures(paths.results, runs.earlier(chapter), study_file, study.profile)
    text.forget(root)
    if not study.is_synthetic:
        text.hide(_people(chapter, study, paths))
    if not study.publishes_patients:
        text.withhold()
    text.know(study.model_dump())
    save_figures_to(paths.figures, chapter)
    _word_cells(study)
    notes = [banner(study)]
    if run:
        where = f"<code>results/{escape(paths.results.name)}</code>"
        words = f"<strong>A run by hand.</strong> It reads and writes {where}; the book keeps its own results."
        notes.append(f'<div class="rs-note" role="note">{words}</div>')
    reason = why_unused(chapter, study)
    if study.model and not reason:
        words = f"<strong>A locked model, nothing fitted.</strong> {runs.LOCKED.get(chapter, '')}"
        notes.append(f'<div class="rs-note" role="note">{words}</div>')
    if reason:
        words = f"This study does not use this chapter: {escape(reason)}."
        notes.append(f'<div class="rs-note" role="note">{words}</div>')
    early = chapter in runs.BEFORE_MODELLING
    known = study.before_modelling() if early else study
    opened = Chapter(chapter, known, paths, values, inputs=set() if early else {study_file})
    opened.stamp = runs.stamp(paths.results, chapter, differs)
    opened.stamp["settings"] = runs.settings_of(study_file, study.profile, chapter)
    return opened, notes


def _word_cells(study: Study) -> None:
    """Let cells of tables and figures have words for the keys of a study: cohorts, centers, kinds, tests, sources."""
    kinds = {"out_of_fold": "out of fold", "external": "not in training", "published": "published output"}
    sources = {name: source_words(name) for name in get_args(SourceName)}
    named = center_names(study)
    centers = {center_words(key): name for key, name in named.items()} | named
    divided = [one.train for one in getattr(study.modelling.harmonisation, "divisions", [])]
    together = {
        listed([center_words(key) for key in one]): listed([named.get(key, key) for key in one]) for one in divided
    }
    word_values(
        dict.fromkeys(("cohort", "cohort_a", "cohort_b"), study.cohort_names)
        | {"kind": kinds, "test": TESTS, "source": sources}
        | dict.fromkeys(("center", "center_a", "center_b"), centers)
        | {"built_on": together}
    )


def _people(chapter: str, study: Study, paths: StudyPaths) -> set[str]:
    """Return the ids of a real study that are known as a chapter begins; the first one asks its files, if it can."""
    if chapter != "01_cohort":
        return known_subjects(paths.results)
    try:
        return subjects_of(study, paths.root)
    except RadsupportError:  # the notebook says so where it reads them
        return set()


def begin_without_study(chapter: str, namespace: Mapping[str, Any], figures: Path | str) -> Path:
    """Check the parameters of a notebook that belongs to no study, and save its figures for print to a folder.

    Returns
    -------
    Path
        Where its results belong: the folder that holds `figures`, or that of a run by hand beside it.

    Raises
    ------
    ParameterError
        An unknown parameter.
    """
    refuse_unknown_parameters(chapter, namespace)
    results = Path(figures).parent
    if runs.is_built(results) and not os.environ.get(runs.BUILDS):
        results = results.with_name(f"{results.name}@{runs.BY_HAND}")
    text.forget(Path())
    save_figures_to(results / Path(figures).name, chapter)
    return results


def _root(start: Path) -> Path:
    for folder in (start, *start.parents):
        if (folder / "studies").is_dir() and (folder / "notebooks").is_dir():
            return folder
    raise ParameterError(f"No project root with `studies/` and `notebooks/` at or above {start}; start Jupyter there.")
