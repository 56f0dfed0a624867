"""What is missing, how long patients were followed, and how many events there are for what is learnt."""

from __future__ import annotations

import pandas as pd

from radsupport.study_schema import Signature, Study

NOTHING_FITTED = "none: a published output is taken as it is"
ENOUGH_EVENTS = 10.0


def missing_table(cohort: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return how many values of each variable are missing, per cohort.

    Parameters
    ----------
    cohort : pandas.DataFrame
        Table `cohort` without the segmentation cohort.
    study : Study

    Returns
    -------
    pandas.DataFrame
        variable, one column per cohort ("n of N (percent)"), all (missing in all); only variables with a missing
        value, the most incomplete first.
    """
    rows = []
    for name, column in study.columns.items():
        absent = cohort[name].isna()
        if not absent.any():
            continue
        row: dict[str, object] = {"variable": column.label}
        for key, spec in study.cohorts.items():
            here = cohort["cohort"] == key
            if here.any():
                n, total = int(absent[here].sum()), int(here.sum())
                row[spec.name] = f"{n} of {total} ({100 * n / total:.0f}%)" if n else "0"
        rows.append(row | {"all": int(absent.sum())})
    return pd.DataFrame(rows).sort_values("all", ascending=False) if rows else pd.DataFrame()


def complete_cases(cohort: pd.DataFrame, study: Study) -> int:
    """Return how many patients have a value in every column of the study."""
    return int(cohort[list(study.columns)].notna().all(axis=1).sum())


def events_per_variable(cohort: pd.DataFrame, study: Study, event: str) -> pd.DataFrame:
    """Return the events of the training cohort per candidate parameter of each signature.

    Parameters
    ----------
    cohort : pandas.DataFrame
    study : Study
    event : str
        Column of the primary endpoint's event, 0 or 1.

    Returns
    -------
    pandas.DataFrame
        signature, candidates (words), parameters (of clinical variables and CT findings: 1 per number, levels - 1 per
        category; NaN where images give the candidates), events (of the rarer outcome for a label), per_parameter,
        remark.

    Notes
    -----
    For a label the limit is set by the rarer of the two outcomes (Peduzzi et al. 1996, J Clin Epidemiol 49:1373; ten
    per parameter is their rule of thumb, neither necessary nor sufficient: Riley et al. 2020, BMJ 368:m441).
    """
    training = cohort.loc[cohort["cohort"] == "train", event]
    events = int(training.sum())
    rarer = min(events, len(training) - events) if study.endpoint.primary == "label" else events
    rows = []
    for signature in study.signatures:
        parameters, words = _candidates(signature, study)
        each = rarer / parameters if parameters else float("nan")
        published = signature.learner == "published"
        rows.append(
            {
                "signature": signature.name,
                "candidates": words,
                "parameters": float(parameters) if parameters is not None else float("nan"),
                "events": rarer,
                "per_parameter": each,
                "remark": NOTHING_FITTED if published else _remark(each, parameters, bool(signature.combines)),
            }
        )
    return pd.DataFrame(rows)


def _candidates(signature: Signature, study: Study) -> tuple[int | None, str]:
    """Return the candidate parameters of a signature and what they are; None where images give them."""
    if signature.combines:
        own = sum(_parameters(name, study) for name in signature.columns)
        words = [f"risks of {len(signature.combines)} signatures"]
        words += [f"{len(signature.columns)} variables"] if signature.columns else []
        return len(signature.combines) + own, ", ".join(words)
    from_tables = [source for source in signature.sources if source in ("clinical", "ct_findings")]
    names = [name for name, column in study.columns.items() if column.source in from_tables]
    names = list(dict.fromkeys([*names, *signature.columns]))
    if set(signature.sources) - set(from_tables):
        kinds = ", ".join(sorted(set(signature.sources) - set(from_tables))).replace("_", " ")
        return None, f"{kinds} features" + (f", {len(names)} variables" if names else "")
    return sum(_parameters(name, study) for name in names), f"{len(names)} variables"


def _parameters(name: str, study: Study) -> int:
    column = study.columns[name]
    return 1 if column.kind == "number" else len(column.levels) - 1


def _remark(per_parameter: float, parameters: int | None, combines: bool) -> str:
    if parameters == 0:
        return "no candidates in this study's tables"
    if parameters is None:
        return "candidates outnumber the events; selection and shrinkage inside the folds decide"
    words = "fewer than ten" if per_parameter < ENOUGH_EVENTS else "ten or more"
    return f"{words} in this step; the risks were learnt from the same events" if combines else words


def short_follow_up(cohort: pd.DataFrame, study: Study) -> tuple[int, int]:
    """Return how many patients without the label were followed for less than its horizon, and how many there are.

    Parameters
    ----------
    cohort : pandas.DataFrame
    study : Study
        `endpoint.label.horizon_months`; without it, or without follow-up, both numbers are 0.
    """
    label, survival = study.endpoint.label, study.endpoint.survival
    if label is None or survival is None or label.horizon_months is None:
        return 0, 0
    free = cohort[(cohort["label"] == 0) & cohort["time"].notna()]
    return int((free["time"] < label.horizon_months).sum()), len(free)
