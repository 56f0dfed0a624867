"""An opened cohort and what it holds, as tables: who came in, sizes, variables, missing values, events."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from radsupport.errors import NotEstimableError
from radsupport.files import write_csv
from radsupport.settings.learning import BEST, MEAN, PUBLISHED, Signature
from radsupport.settings.study import Study
from radsupport.stats.imputation import missing_patterns
from radsupport.stats.sample_size import for_patients
from radsupport.stats.survival_curves import median_follow_up
from radsupport.study import center_names
from radsupport.tables import write_table
from radsupport.wording import counted, share, source_words

LEARNT_BY_NETWORK = "the network learns its features from these events; candidates can not be counted"
RISK_ALONE = "needed: for the overall risk alone"
NO_FEATURE = "the published table holds no feature of this subject"
NOTHING_FITTED = "none: a published output is taken as it is"
NO_WEIGHT = "none in this step: no weight is fitted; the parts were learnt from the same events"
INVENTED = "(how many: invented)"
ENOUGH_EVENTS = 10.0
MOST_REASONS = 12


@dataclass(frozen=True)
class CohortTables:
    """What chapter 01 starts from (`radsupport.data.open.open_cohort`).

    Attributes
    ----------
    study : Study
    cohort : DataFrame
        The contract table `cohort`.
    excluded : DataFrame
        subject, center, reason; everybody the sources name who is not in the cohort.
    features : dict of str to DataFrame
        Contract tables by feature source, for studies that start from feature tables.
    log : DataFrame
        Cleaning steps in order: source, step, count, detail.
    """

    study: Study
    cohort: pd.DataFrame
    excluded: pd.DataFrame
    features: dict[str, pd.DataFrame] = field(default_factory=dict)
    log: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["source", "step", "count", "detail"]))

    @property
    def everybody(self) -> pd.DataFrame:
        """The patients with an outcome: all but the segmentation cohort."""
        return self.cohort[self.cohort["cohort"] != "segmentation"]

    def write(self, folder: Path) -> None:
        """Write who was left out; of a study that starts from feature tables also these, and who has no feature.

        Files are ``cohort_excluded.csv``, ``features_<source>.parquet`` and ``features_<source>_log.csv`` (subject,
        phase, reason). The table `cohort` itself is a chapter's to write.
        """
        write_csv(self.excluded, folder / "cohort_excluded.csv")
        for source, table in self.features.items():
            write_table(table, f"features_{source}", folder)
            write_csv(failed_cases(table), folder / f"features_{source}_log.csv")

    def flow(self) -> pd.DataFrame:
        """Return the patients' way into the study, for `plots.flow`.

        Returns
        -------
        pandas.DataFrame
            role (``main`` boxes downwards, ``cohort`` boxes side by side below them, ``aside`` beside these),
            step, n, excluded (who left after this box: one reason per line, with its number), note.
        """
        included, names = int((self.cohort["cohort"] != "segmentation").sum()), center_names(self.study)
        rows = []
        if len(self.excluded):
            left, screened = reason_lines(self.excluded["reason"].value_counts()), included + len(self.excluded)
            left += f"\n{INVENTED}" * self.study.is_synthetic
            rows.append({"role": "main", "step": "Assessed for eligibility", "n": screened, "excluded": left})
        rows.append({"role": "main", "step": "In the study", "n": included})
        for key, spec in self.study.cohorts.items():
            here = self.cohort[self.cohort["cohort"] == key]
            box = {"role": "cohort", "step": spec.name, "n": len(here)}
            if key == "segmentation":
                note = "outlines train the network; no outcome is used"
                rows.append(box | {"role": "aside", "step": f"In addition: {spec.name}", "note": note})
            else:
                centers = ", ".join(names.get(one, one) for one in sorted(here["center"].unique()))
                events = int(here[self.study.endpoint.event].sum())
                rows.append(box | {"note": f"{events} events\ncenter: {centers}"})
        return pd.DataFrame(rows).reindex(columns=["role", "step", "n", "excluded", "note"]).fillna("")

    def reported(self) -> pd.DataFrame:
        """Return what the paper prints of its patients and methods beside this build: what, printed, here, where."""
        columns = ["what", "printed", "here", "where"]
        return pd.DataFrame([one.model_dump() for one in self.study.reported], columns=columns)

    def left_out(self) -> pd.DataFrame:
        """Return how many were left out for each reason, in all and per center, the most frequent first."""
        counts = pd.crosstab(self.excluded["reason"], self.excluded["center"].replace("", "unknown"))
        counts.insert(0, "all centers", counts.sum(axis=1))
        counts = counts.rename(columns=center_names(self.study))
        counts = counts.sort_values("all centers", ascending=False).rename_axis(columns=None).reset_index()
        of_all = self.study.is_synthetic  # a table of somebody else's may have lost patients before
        counts.attrs["empty"] = "Nobody was left out." if of_all else "Nobody in these files was left out."
        return counts

    def cleaning(self) -> pd.DataFrame:
        """Return the cleaning steps that found something."""
        found = self.log[self.log["count"] != 0]
        found.attrs["empty"] = ""
        return found

    def summary(self) -> pd.DataFrame:
        """Return size, events and follow-up of each cohort.

        Returns
        -------
        pandas.DataFrame
            cohort (key), n, events (primary endpoint), share_with_event; with follow-up also survival_events (where
            the primary endpoint is a label: what ends the follow-up may be another event), competing_events (where the
            study names such codes; these patients count as censored), median_follow_up (months,
            reverse Kaplan-Meier) with median_follow_up_low and median_follow_up_high; NaN where there is none.
        """
        endpoint, rows = self.study.endpoint, []
        for key in self.study.cohorts:
            part = self.cohort[self.cohort["cohort"] == key]
            events = part[endpoint.event].sum() if key != "segmentation" else float("nan")
            row = {"cohort": key, "n": len(part), "events": events, "share_with_event": events / max(len(part), 1)}
            if endpoint.survival is not None and key != "segmentation":
                known = part.dropna(subset=["time", "event"])
                row |= {"survival_events": known["event"].sum()} if endpoint.primary == "label" else {}
                row |= {"competing_events": known["competing"].sum()} if "competing" in known else {}
                row |= _follow_up(known)
            rows.append(row)
        return pd.DataFrame(rows)

    def follow_up(self) -> pd.DataFrame:
        """Return cohort (name), time (months) and event of every patient with follow-up, for `plots.follow_up`."""
        known = self.everybody.dropna(subset=["time", "event"])[["cohort", "time", "event"]]
        parts = [known[known["cohort"] == key].assign(cohort=name) for key, name in self.study.cohort_names.items()]
        return pd.concat(parts, ignore_index=True)

    def variables(self) -> pd.DataFrame:
        """Return the study's columns: variable, column, source, unit_or_levels, definition, known.

        When a variable is known is left out where all are known before treatment.
        """
        columns = self.study.columns
        rows = []
        for name, one in columns.items():
            levels = one.unit if one.kind == "number" else ", ".join(one.levels)
            row = {"variable": one.label, "column": name, "source": source_words(one.source)}
            rows.append(row | {"unit_or_levels": levels, "definition": one.definition, "known": one.time_of_knowledge})
        late = any(column.time_of_knowledge != "preoperative" for column in columns.values())
        table = pd.DataFrame(rows) if late or not rows else pd.DataFrame(rows).drop(columns="known")
        table.attrs["empty"] = "This study has no clinical variables or CT findings."
        return table

    def missing(self) -> pd.DataFrame:
        """Return how many values of each variable are missing, per cohort with an outcome.

        Returns
        -------
        pandas.DataFrame
            variable, one column per cohort by its name ("n of N (percent)"), all (missing in all); only variables with
            a missing value, the most incomplete first.
        """
        names, rows = self.study.cohort_names, []
        absent = self.everybody[list(self.study.columns)].isna()
        cohort = self.everybody["cohort"]
        for variable in absent.columns[absent.any()]:
            row: dict[str, object] = {"variable": self.study.columns[variable].label}
            for key in names:
                n, total = int(absent.loc[cohort == key, variable].sum()), int((cohort == key).sum())
                if total:
                    row[names[key]] = f"{n} of {total} ({share(n / total)})" if n else "0"
            rows.append(row | {"all": int(absent[variable].sum())})
        table = pd.DataFrame(rows).sort_values("all", ascending=False) if rows else pd.DataFrame()
        table.attrs["empty"] = ""
        return table

    def patterns(self) -> pd.DataFrame:
        """Return which variables are missing together among the patients with an outcome, as `plots.missing` draws it.

        Returns
        -------
        pandas.DataFrame
            n, gaps, and one column per variable with a gap, by its label; no rows where nothing is missing.
        """
        found = missing_patterns(self.everybody, list(self.study.columns))
        return found.rename(columns={key: column.label for key, column in self.study.columns.items()})

    def events_per_variable(self) -> pd.DataFrame:
        """Return the events of the training cohort per candidate parameter of each signature.

        Returns
        -------
        pandas.DataFrame
            signature, candidates (words), parameters (of clinical variables and CT findings: 1 per number, levels - 1
            per category; of feature tables: their columns; NaN where images give the candidates, or nothing is
            fitted), events (of the rarer outcome for a label, of the patients with an outcome and something of every
            source of the signature), per_parameter, n (those patients), required (patients that Riley's criteria ask
            for with 15% of the largest possible R2; where the candidates are not counted, what the overall risk alone
            asks for; NaN where no size can be told), remark; ``attrs["enough"]``: how many per parameter are called so.

        Notes
        -----
        For a label the limit is set by the rarer of the two outcomes (Peduzzi et al. 1996, J Clin Epidemiol 49:1373;
        ten per parameter is their rule of thumb, neither necessary nor sufficient: Riley et al. 2020, BMJ 368:m441).
        """
        rows: list[tuple[object, ...]] = []
        for signature in self.study.signatures if not self.study.model else ():
            parameters, words = _candidates(signature, self.study, self.features)
            if signature.learner in (PUBLISHED, MEAN, BEST):
                why = NOTHING_FITTED if signature.learner == PUBLISHED else NO_WEIGHT
                rows.append((signature.name, words, *[float("nan")] * 5, why))
                continue
            fitted = self._fitted(signature)
            outcome = fitted[self.study.endpoint.event]
            events = int(outcome.sum())
            rarer = min(events, len(outcome) - events) if self.study.endpoint.primary == "label" else events
            each = rarer / parameters if parameters else float("nan")
            shown = float("nan") if parameters is None else float(parameters)
            size = len(fitted), self._required(fitted, parameters)
            rows.append((signature.name, words, shown, rarer, each, *size, _remark(each, parameters, signature)))
        names = ["signature", "candidates", "parameters", "events", "per_parameter", "n", "required", "remark"]
        table = pd.DataFrame(rows, columns=names)
        table.attrs["enough"] = ENOUGH_EVENTS
        return table

    def _required(self, fitted: pd.DataFrame, parameters: int | None) -> float:
        """Return the patients that Riley's criteria ask for, the outcome as frequent as in the patients given."""
        survival = self.study.endpoint.survival if self.study.endpoint.primary == "survival" else None
        time, horizon = (fitted["time"], survival.horizons_months[0]) if survival else (None, 0.0)
        event = fitted[self.study.endpoint.event]
        if parameters == 0 or not 0 < event.sum() < len(event):
            return float("nan")
        size = for_patients(parameters or 1, event, time, horizon)
        return float(size.required if parameters else size.overall_risk)

    def _fitted(self, signature: Signature) -> pd.DataFrame:
        """Return the training patients with an outcome and at least one value of every source of a signature."""
        wanted = ["label"] if self.study.endpoint.primary == "label" else ["time", "event"]
        training = self.cohort[self.cohort["cohort"] == "train"].dropna(subset=wanted)
        for part in self.study.signatures:
            if part.name in signature.combines:
                training = training[training["subject"].isin(self._fitted(part)["subject"])]
        for source in signature.sources:
            own = [name for name, column in self.study.columns.items() if column.source == source]
            known = self.features[source].set_index("subject") if source in self.features else None
            if known is not None:
                training = training[training["subject"].isin(known.index[known.notna().any(axis=1)])]
            elif own:
                training = training[training[own].notna().any(axis=1)]
        return training


def reason_lines(reasons: pd.Series) -> str:
    """Return "reason: n" line by line, the rarest reasons summed up where there are many."""
    shown = reasons if len(reasons) <= MOST_REASONS else reasons.head(MOST_REASONS - 1)
    lines = [f"{reason}: {n}" for reason, n in shown.items()]
    rest = reasons.iloc[len(shown) :]
    return "\n".join([*lines, f"{len(rest)} other reasons: {int(rest.sum())}"] if len(rest) else lines)


def failed_cases(table: pd.DataFrame) -> pd.DataFrame:
    """Return subject, phase and reason of every row of a feature table that holds no value at all."""
    empty = table.drop(columns="subject").isna().all(axis=1)
    phases = sorted({name.split("__")[0] for name in table.columns if name != "subject"})
    rows = [(subject, phase, NO_FEATURE) for subject in table.loc[empty, "subject"] for phase in phases]
    return pd.DataFrame(rows, columns=["subject", "phase", "reason"])


def _follow_up(known: pd.DataFrame) -> dict[str, float]:
    if known.empty:
        return {}
    try:
        found = median_follow_up(known["time"], known["event"])
    except NotEstimableError:
        return {}
    limits = {"median_follow_up_low": found.ci_low, "median_follow_up_high": found.ci_high}
    return {"median_follow_up": found.median, **limits}


def _candidates(signature: Signature, study: Study, features: Mapping[str, pd.DataFrame]) -> tuple[int | None, str]:
    """Return the candidate parameters of a signature and what they are; None where images give them."""
    sizes = {name: 1 if one.kind == "number" else len(one.levels) - 1 for name, one in study.columns.items()}
    if signature.combines:
        words = [f"risks of {counted(len(signature.combines), 'signature')}"]
        words += [counted(len(signature.columns), "variable")] if signature.columns else []
        return len(signature.combines) + sum(sizes[name] for name in signature.columns), ", ".join(words)
    from_images = _image_sources(signature)
    names = [name for name, column in study.columns.items() if column.source in signature.sources]
    names = list(dict.fromkeys([*names, *signature.columns]))
    if from_images:
        kinds = ", ".join(map(source_words, from_images)) + " features" * (signature.learner != PUBLISHED)
        told = kinds + (f", {counted(len(names), 'variable')}" if names else "")
        if not set(from_images) <= set(features):
            return None, told
        columns = [name for source in from_images for name in features[source].columns.drop("subject")]
        if signature.phases:
            columns = [name for name in columns if name.split("__")[0] in signature.phases]
        return sum(re.search(signature.features, name) is not None for name in columns) + sum(
            sizes[name] for name in names
        ), told
    return sum(sizes[name] for name in names), counted(len(names), "variable")


def _image_sources(signature: Signature) -> list[str]:
    return sorted(set(signature.sources) - {"clinical", "ct_findings"})


def _remark(per_parameter: float, parameters: int | None, signature: Signature) -> str:
    if signature.learner == "Network":
        return f"{LEARNT_BY_NETWORK}; {RISK_ALONE}"
    if parameters == 0:
        return "no candidates in this study's tables"
    if parameters is None or (per_parameter < 1 and _image_sources(signature)):
        words = "candidates outnumber the events; selection and shrinkage inside the folds decide"
        return f"{words}; {RISK_ALONE}" if parameters is None else words
    words = "fewer than ten" if per_parameter < ENOUGH_EVENTS else "ten or more"
    return f"{words} in this step; the risks were learnt from the same events" if signature.combines else words
