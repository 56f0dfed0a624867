"""The four studies side by side: design, events per candidate feature, leaks, TRIPOD type, sample size."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import pandas as pd

from radsupport.claims.verdicts import content
from radsupport.stats.sample_size import (
    SampleSize,
    for_binary,
    for_survival,
    overall_risk_binary,
    r2_from_auc,
    r2_from_concordance,
)
from radsupport.wording import two_digits


def study_labels() -> dict[str, str]:
    """Return {study: short label} in the order of the chapter."""
    return {study: str(each["label"]) for study, each in content("side_by_side.yaml")["studies"].items()}


def compare_studies(*, sources: bool = False) -> pd.DataFrame:
    """Return the comparison: one row per aspect, one column per study (by its label).

    The sizes and the events per candidate feature are computed from the printed numbers. With `sources` return where
    each entry stands in its paper instead: study, aspect, source.
    """
    design = content("side_by_side.yaml")
    if sources:
        return _sources(design)
    columns = {}
    for each in design["studies"].values():
        texts = {title: each["entries"][key]["text"] for key, title in design["aspects"].items()}
        columns[each["label"]] = _with_numbers(texts, each["numbers"])
    return pd.DataFrame(columns).rename_axis("aspect").reset_index()


def _sources(design: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"study": each["label"], "aspect": title, "source": each["entries"][key]["source"]}
            for each in design["studies"].values()
            for key, title in design["aspects"].items()
        ]
    )


def _with_numbers(texts: dict[str, str], numbers: dict[str, Any]) -> dict[str, str]:
    """Put the computed rows behind the rows they belong to."""
    rows: dict[str, str] = {}
    for title, text in texts.items():
        rows[title] = text
        if title == "External validation":
            rows["Patients (events): development, internal, external"] = _sizes(numbers)
            rows["Events per candidate feature"] = _events_per_feature(numbers)
    return rows


def _sizes(numbers: dict[str, Any]) -> str:
    parts = []
    for part in ("development", "internal", "external"):
        n, events = numbers.get(f"n_{part}"), numbers.get(f"events_{part}")
        parts.append("–" if n is None else f"{n} ({'not printed' if events is None else events})")
    return ", ".join(parts)


def _events_per_feature(numbers: dict[str, Any]) -> str:
    events, guess = _events(numbers)
    parameters = numbers["models"][0]["parameters"]
    if parameters is None:
        return f"no features; {events:.0f} events for {numbers['weights']:,} weights"
    mark = "about " if guess else ""
    return f"{mark}{two_digits(events / parameters)} ({mark}{events:.0f} events, {parameters:,} features)"


def _events(numbers: dict[str, Any]) -> tuple[float, bool]:
    """Return the events in the development data, and whether they are estimated (rate x follow-up, a whole number)."""
    if numbers["events_development"] is not None:
        return float(numbers["events_development"]), False
    return float(round(numbers["n_development"] * _rate(numbers) * numbers["median_follow_up_months"])), True


def _rate(numbers: dict[str, Any]) -> float:
    """Return the death rate per month that gives the printed median survival, were it constant."""
    return math.log(2) / float(numbers["median_survival_months"])


def sample_sizes(*, worded: bool = False) -> pd.DataFrame:
    """Return Riley's minimum sample size for each study and count of predictor parameters.

    Parameters
    ----------
    worded : bool
        As the chapter shows them: estimated events, and what follows from them, with "about"; events per parameter
        with two significant digits.

    Returns
    -------
    pandas.DataFrame
        ``study, model, parameters``; ``n, events`` of the development data (``estimated`` where the
        events are not printed); ``shrinkage, optimism, overall_risk``, the patients that criteria 1 to 3 ask for
        with an expected Cox-Snell R2 of 15% of the largest possible (``r2``); ``required``, the
        largest; ``share``, available / required; ``required_as_printed``, what would be required
        were the printed AUC or C-index of internal validation (of the test group where there is
        none) true. For survival the rate follows from the printed median, as if it were constant.
    """
    studies = content("side_by_side.yaml")["studies"].values()
    rows = [_row(each["label"], model, each["numbers"]) for each in studies for model in each["numbers"]["models"]]
    return _worded(pd.DataFrame(rows)) if worded else pd.DataFrame(rows)


def _worded(sizes: pd.DataFrame) -> pd.DataFrame:
    about = ["about " if guess else "" for guess in sizes["estimated"]]
    events = [f"{mark}{each}" for mark, each in zip(about, sizes["events"], strict=True)]
    ratios: list[Any] = [
        None if math.isnan(each) else f"{mark}{two_digits(each)}"
        for mark, each in zip(about, sizes["events_per_parameter"], strict=True)
    ]
    table = sizes.assign(events=events, events_per_parameter=ratios)
    return table.drop(columns=["estimated", "r2", "share"])


def _row(label: str, model: dict[str, Any], numbers: dict[str, Any]) -> dict[str, Any]:
    n, (events, guess) = int(numbers["n_development"]), _events(numbers)
    row: dict[str, Any] = {"study": label, "model": model["name"], "n": n, "events": round(events), "estimated": guess}
    if model["parameters"] is None:
        required = overall_risk_binary(events / n)
        return row | {"overall_risk": required, "required": required, "share": n / required}
    parameters = int(model["parameters"])
    size = asdict(_required(numbers, parameters, None))
    printed = _required(numbers, parameters, _r2_as_printed(numbers))
    row |= {"parameters": parameters, "events_per_parameter": events / parameters}
    row |= {name: size[name] for name in ("shrinkage", "optimism", "overall_risk", "required", "r2")}
    return row | {"share": n / size["required"], "required_as_printed": printed.required}


def _r2_as_printed(numbers: dict[str, Any]) -> float:
    """Return the Cox-Snell R2 that belongs to the printed AUC or C-index."""
    share = _events(numbers)[0] / numbers["n_development"]
    if "c_index_validated" in numbers:
        return r2_from_concordance(float(numbers["c_index_validated"]), share)
    return r2_from_auc(float(numbers["auc_validated"]), share)


def _required(numbers: dict[str, Any], parameters: int, r2: float | None) -> SampleSize:
    if numbers["outcome"] == "survival":
        follow_up, horizon = float(numbers["median_follow_up_months"]), float(numbers["horizon_months"])
        return for_survival(parameters, _rate(numbers), follow_up, horizon, r2)
    return for_binary(parameters, numbers["events_development"] / numbers["n_development"], r2)
