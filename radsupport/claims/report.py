"""Figures of the chapter on the four papers: how many printed values hold, per paper and per kind.

What the verdicts mean for a reader: findings in words, their numbers filled in from the checked claims.

What the notebook of this chapter calls: its parameters, its texts, its files under results/published.

Counts of verdicts per paper and per kind of claim.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from radsupport.claims.claims import RESULT_COLUMNS, check_claims, checked_rows
from radsupport.claims.designs import study_labels
from radsupport.claims.text import figures_of
from radsupport.claims.verdicts import FAILS, FORMS, HOLDS, UNDECIDED, VERDICTS
from radsupport.errors import InputError, ParameterError, Problem
from radsupport.plots import style
from radsupport.plots.base import figure
from radsupport.tables import write_chapter_json
from radsupport.wording import counted

LOOK: dict[str, dict[str, Any]] = {
    HOLDS: {"color": style.BLUE},
    FAILS: {"color": style.VERMILLION, "hatch": "///"},
    UNDECIDED: {"color": style.GREY, "hatch": "..."},
}
"""Colours that are told apart under colour-vision deficiencies, and hatches that do without colour."""
NUMBER = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85}


def _alt(table: pd.DataFrame, **_: Any) -> str:
    rows = []
    for name, part in table.groupby("row", sort=False, observed=True):
        counts = part.set_index("verdict")["claims"]
        rows.append(f"{name}: " + ", ".join(f"{int(counts.get(verdict, 0))} {verdict}" for verdict in VERDICTS))
    return f"Stacked bars, number of claims by verdict. {'; '.join(rows)}."


@figure("row", "verdict", "claims", alt=_alt, size=(7.0, 2.6))
def verdict_bars(table: pd.DataFrame, ax: Axes, *, legend: bool = True) -> None:
    """Draw one stacked bar per row: the number of claims with each verdict.

    Parameters
    ----------
    table : pandas.DataFrame
        ``row`` (label of the bar, from top to bottom), ``verdict``, ``claims``.
    legend : bool
        Whether to explain the colours.
    """
    wide = table.pivot_table(
        index="row", columns="verdict", values="claims", aggfunc="sum", fill_value=0, observed=True
    )
    wide = wide.reindex(index=list(dict.fromkeys(table["row"])), columns=list(VERDICTS), fill_value=0)
    left, longest = [0.0] * len(wide), float(wide.to_numpy().sum(axis=1).max())
    for verdict in VERDICTS:
        widths = wide[verdict].to_numpy(dtype=float)
        bars = ax.barh(wide.index.astype(str), widths, left=left, label=verdict, edgecolor="white", **LOOK[verdict])
        ax.bar_label(bars, labels=_counts(widths, longest), label_type="center", fontsize=8, bbox=NUMBER)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    ax.invert_yaxis()
    ax.set_xlabel("claims")
    ax.tick_params(axis="y", length=0)
    if legend:
        ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(VERDICTS))


def _counts(widths: Any, longest: float) -> list[str]:
    """Return the numbers to write into the bars; none where the bar is too short for them."""
    return [f"{width:.0f}" if width > 0.035 * longest else "" for width in widths]


def save(fig: Figure, name: str, folder: Path) -> list[Path]:
    """Save a figure for print as ``<folder>/figures/<name>`` (SVG and PDF)."""
    return style.save(fig, folder / "figures" / name)


def verdicts_by_paper(per_kind: pd.DataFrame) -> Figure:
    """Draw one bar per paper, from `verdicts_per_kind`."""
    table = per_kind.groupby(["paper", "verdict"], observed=True)["claims"].sum().reset_index()
    fig, (ax,) = style.new_figure(width=7.5, height=2.9)
    verdict_bars(table.rename(columns={"paper": "row"}), ax)
    return fig


def verdicts_by_kind(per_kind: pd.DataFrame) -> Figure:
    """Draw one panel per paper with one bar per kind of claim, from `verdicts_per_kind`."""
    papers = list(per_kind["paper"].cat.categories)
    fig, axes = style.new_figure(2, 2, width=4.9, height=3.4)
    for i, (ax, paper) in enumerate(zip(axes, papers, strict=True)):
        part = per_kind[per_kind["paper"] == paper].rename(columns={"kind": "row"})
        used = part.groupby("row", observed=True)["claims"].transform("sum") > 0
        verdict_bars(part[used], ax, title=paper, legend=False)
        if i == 0:
            handles, labels = ax.get_legend_handles_labels()
            fig.legend(handles, labels, loc="outside upper right", ncols=len(VERDICTS), frameon=False)
    return fig


def checked_claims() -> pd.DataFrame:
    """Check the claims of the four papers.

    Returns
    -------
    pandas.DataFrame
        As `check_claims()`, with ``published_value`` in readable form (`in_words`), ``counted`` (False for the rows of
        `not_counted`), ``inputs`` (the printed figures) and ``values`` (the recomputed numbers by name).
    """
    rows = [
        record | {"inputs": claim.inputs if claim else {}, "values": dict(verdict.values) if verdict else {}}
        for record, claim, verdict in checked_rows()
    ]
    table = pd.DataFrame(rows, columns=[*RESULT_COLUMNS, "inputs", "values"])
    places = list(zip(table["study"], table["table"], table["item"], strict=True))
    left_out = set(not_counted()[["study", "table", "item"]].itertuples(index=False, name=None))
    if left_out - set(places):
        raise InputError(f"not_counted.yaml names claims that do not exist: {sorted(left_out - set(places))}.")
    counted = [place not in left_out for place in places]
    return table.assign(published_value=table["published_value"].map(in_words), counted=counted)


def in_words(published: str) -> str:
    """Return a printed value that was typed in as a list without brackets and quotes.

    A list of counts reads ``139/39``; each group of several figures reads as its first with the others in brackets
    behind it, ``67 (47.2); 46 (48.9)``. Anything else stays as it is.
    """
    if not published.startswith(("[", "(")):
        return published
    try:
        value = ast.literal_eval(published)
    except (ValueError, SyntaxError):
        return published
    if not isinstance(value, list | tuple):
        return published
    if not any(isinstance(each, list | tuple) for each in value):
        return "/".join(map(str, value))
    return "; ".join(_group(each) for each in value)


def _group(value: Any) -> str:
    if not isinstance(value, list | tuple):
        return str(value)
    first, *others = map(str, value)
    return f"{first} ({', '.join(others)})" if others else first


def not_counted() -> pd.DataFrame:
    """Return the claims that are checked but not counted, one row each: study, table, item, why."""
    rows = [
        {"study": each["study"], "table": each["table"], "item": item, "why": each["why"]}
        for each in _content("not_counted.yaml")["not_counted"]
        for item in each["items"]
    ]
    return pd.DataFrame(rows, columns=["study", "table", "item", "why"])


def findings(results: pd.DataFrame) -> pd.DataFrame:
    """Return the findings that change how a paper should be read.

    Parameters
    ----------
    results : pandas.DataFrame
        From `checked_claims`.

    Returns
    -------
    pandas.DataFrame
        ``study, title, text``; each number in the text comes from `results`.

    Raises
    ------
    InputError
        A finding names a claim that does not exist once, or whose verdict is no longer the one it rests on.
    """
    rows, problems = [], []
    for each in _content("findings.yaml")["findings"]:
        try:
            text = _fill(each, results[results["study"] == each["study"]])
        except InputError as error:
            problems.append(Problem(str(error), value=each["title"]))
            continue
        rows.append({"study": each["study"], "title": each["title"], "text": " ".join(text.split())})
    if problems:
        raise InputError("Findings do not follow from the claims.", problems)
    return pd.DataFrame(rows, columns=["study", "title", "text"])


def not_checkable() -> pd.DataFrame:
    """Return what can not be checked from the printed figures, and why: study, what, why."""
    table = pd.DataFrame(_content("findings.yaml")["not_checkable"])
    return table.assign(study=table["study"].map(study_labels()))


def _content(file: str) -> dict[str, Any]:
    text = (resources.files("radsupport.claims") / "data" / file).read_text("utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def _select(results: pd.DataFrame, where: Mapping[str, str]) -> pd.DataFrame:
    chosen = results
    for column, value in where.items():
        if column.endswith("_prefix"):
            chosen = chosen[chosen[column.removesuffix("_prefix")].str.startswith(value)]
        elif column.endswith("_suffix"):
            chosen = chosen[chosen[column.removesuffix("_suffix")].str.endswith(value)]
        else:
            chosen = chosen[chosen[column] == value]
    return chosen


def _fill(finding: Mapping[str, Any], results: pd.DataFrame) -> str:
    """Put the claims' fields and the groups' counts into a finding's text."""
    names: dict[str, Any] = {}
    for name, where in finding.get("claims", {}).items():
        chosen = _select(results, where).to_dict("records")
        if len(chosen) != 1:
            raise InputError(f"{len(chosen)} claims are {dict(where)}, one is needed.")
        names[name] = SimpleNamespace(**{str(key): value for key, value in chosen[0].items()})
        needed = finding["needs"].get(name)
        if needed and names[name].verdict != needed:
            raise InputError(f"“{names[name].item}” is now “{names[name].verdict}”, the finding needs “{needed}”.")
    for name, where in finding.get("counts", {}).items():
        names[name] = _counted_verdicts(_select(results[results["counted"]], where))
    try:
        return str(finding["text"]).format(**names)
    except (KeyError, AttributeError) as error:
        raise InputError(f"the text asks for {error}, which no claim provides.") from error


def _counted_verdicts(chosen: pd.DataFrame) -> SimpleNamespace:
    verdicts = chosen["verdict"]
    counts = {"holds": HOLDS, "fails": FAILS, "undecided": UNDECIDED}
    failing = chosen.loc[verdicts == FAILS, "values"]
    crossing = sum(bool(values.get("crosses")) for values in failing)
    shares = {name: int((verdicts == verdict).sum()) for name, verdict in counts.items()}
    return SimpleNamespace(n=len(verdicts), crossing=crossing, **shares)


KIND_LABELS = {
    "count_total": "Totals of counts",
    "proportion": "Proportions and percentages",
    "mean_sd": "Means and standard deviations",
    "p_value": "P values",
    "statistic": "Test statistics",
    "auc": "AUCs",
    "ci": "Confidence intervals",
    "hr": "Hazard ratios",
    "or": "Odds ratios",
    "survival": "Median survival, follow-up",
    "shape": "Network layers",
    "text_vs_table": "Text against tables",
    "duplicate_row": "Repeated rows",
    "label_order": "Order of labels",
}


def verdicts_per_paper(results: pd.DataFrame) -> pd.DataFrame:
    """Return one row per paper: paper, claims, one column per verdict, and the share that hold of those decided.

    Only the counted claims; the share in whole per cent.
    """
    results = results[results["counted"]]
    counts = pd.crosstab(results["study"], results["verdict"])
    counts = counts.reindex(index=results["study"].unique(), columns=list(VERDICTS), fill_value=0)
    table = counts.rename_axis(columns=None, index="study").reset_index()
    table.insert(1, "claims", counts.sum(axis=1).to_numpy())
    decided = table[HOLDS] + table[FAILS]
    table["percent_holding"] = (100 * table[HOLDS] / decided.where(decided > 0)).round()
    table["study"] = table["study"].map(study_labels()).fillna(table["study"])
    return table.rename(columns={"study": "paper"})


def verdicts_per_kind(results: pd.DataFrame) -> pd.DataFrame:
    """Return tidy numbers of counted claims: paper, kind (in words, in a fixed order), verdict, claims; also zeros."""
    results = results[results["counted"]]
    labels = study_labels()
    frame = pd.DataFrame(
        {
            "paper": pd.Categorical(results["study"].map(labels), categories=list(labels.values())),
            "kind": pd.Categorical(results["kind"].map(KIND_LABELS), categories=list(KIND_LABELS.values())),
            "verdict": pd.Categorical(results["verdict"], categories=list(VERDICTS)),
        }
    )
    return frame.groupby(["paper", "kind", "verdict"], observed=False).size().rename("claims").reset_index()


def shown_rows(results: pd.DataFrame, study: str, verdicts_shown: str) -> pd.DataFrame:
    """Return the counted rows of one paper that the chapter's table shows, with the columns it shows.

    Raises
    ------
    ParameterError
        `verdicts_shown` is neither `all` nor a verdict.
    """
    if verdicts_shown not in ("all", *VERDICTS):
        raise ParameterError(
            f"`verdicts_shown` must be all, {HOLDS}, {FAILS} or {UNDECIDED}; it is {verdicts_shown!r}."
        )
    chosen = results[results["counted"] & (results["study"] == study)]
    if verdicts_shown != "all":
        chosen = chosen[chosen["verdict"] == verdicts_shown]
    where = chosen["table"] + ", " + chosen["group"]
    table = chosen.assign(kind=chosen["kind"].map(KIND_LABELS), where=where)
    return table[["verdict", "item", "where", "published_value", "recomputed", "reason", "kind"]]


def rows_not_counted() -> pd.DataFrame:
    """Return the claims that are checked but not counted: paper, table, item, why."""
    table = not_counted()
    return table.assign(study=table["study"].map(study_labels())).rename(columns={"study": "paper"})


def significance_changes(results: pd.DataFrame) -> pd.DataFrame:
    """Return the P values that lie on one side of 0.05 as printed and on the other by every test tried.

    A value that a test named by the paper might give is undecided where that test can not be recomputed, and so
    not among them.
    """
    results = results[results["counted"]]
    crossing = [bool(values.get("crosses")) and verdict == FAILS for values, verdict in
                zip(results["values"], results["verdict"], strict=True)]  # fmt: skip
    chosen = results[crossing]
    table = chosen.assign(paper=chosen["study"].map(study_labels()))
    return table[["paper", "table", "item", "group", "published_value", "recomputed"]].reset_index(drop=True)


CHAPTER = "09_published"
STUDY = "published"
HEADERS = {"published_value": "printed", "group": "column"}
"""Words for the columns of the tables of claims."""


def check_parameters(study: str, verdicts_shown: str) -> None:
    """Require the parameters of the notebook to have known values.

    Raises
    ------
    ParameterError
        All unknown values are listed.
    """
    problems = []
    if study != STUDY:
        problems.append(Problem("there is one study here", STUDY, "leave it", column="study", value=str(study)))
    if verdicts_shown not in ("all", *VERDICTS):
        known = f"all, {', '.join(VERDICTS)}"
        problems.append(Problem("no such verdict", known, column="verdicts_shown", value=str(verdicts_shown)))
    if problems:
        raise ParameterError(f"{CHAPTER} can not run with these parameters.", problems)


def results_folder(root: Path = Path()) -> Path:
    """Return (and make) the one folder this chapter writes to."""
    folder = root / "results" / STUDY
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def open_chapter(study: str, verdicts_shown: str, root: Path = Path()) -> pd.DataFrame:
    """Check the parameters, check all claims, write ``verdicts.csv``, and return the claims with their verdicts."""
    check_parameters(study, verdicts_shown)
    results = checked_claims()
    results.drop(columns=["inputs", "values"]).to_csv(results_folder(root) / "verdicts.csv", index=False)
    return results


def rules() -> pd.DataFrame:
    """Return every rule of the checkers, as their code states it: kind, what is checked, from which figures."""
    rows = []
    for each in FORMS:
        first = (inspect.getdoc(each.checker) or "").split("\n\n")[0]
        text = " ".join(first.split()).replace("`", "")
        rows.append({"kind": KIND_LABELS[each.kind], "what is checked": text, "from which figures": figures_of(each)})
    order = {label: i for i, label in enumerate(KIND_LABELS.values())}
    return pd.DataFrame(rows).sort_values("kind", key=lambda kinds: kinds.map(order), kind="stable")


def headline(results: pd.DataFrame) -> str:
    """Return the result of the chapter in a few sentences of Markdown."""
    chosen = results[results["counted"]]
    counts, others = chosen["verdict"].value_counts(), len(results) - len(chosen)
    changes = counted(len(significance_changes(results)), "P value")
    return (
        f"Of **{len(chosen)}** printed values, **{counts.get(HOLDS, 0)}** hold, **{counts.get(FAILS, 0)}** do not, "
        f"and **{counts.get(UNDECIDED, 0)}** can not be decided from what is printed. For **{changes}** "
        "every test tried lies on the other side of 0.05 than the printed value. "
        f"{counted(others, 'further row')} of the table of claims {'is' if others == 1 else 'are'} not counted, for "
        "want of a printed value of their own that could fail; they are listed with what can not be checked."
    )


def findings_text(table: pd.DataFrame, study: str) -> str:
    """Return one paper's findings as a Markdown list."""
    chosen = table[table["study"] == study]
    return "\n\n".join(f"- **{row.title}.** {row.text}" for row in chosen.itertuples())


def claims_table(results: pd.DataFrame, study: str, verdicts_shown: str) -> tuple[pd.DataFrame, str]:
    """Return the table of one paper's claims and its caption."""
    table = shown_rows(results, study, verdicts_shown)
    which = "every counted claim" if verdicts_shown == "all" else f"claims with the verdict “{verdicts_shown}”"
    return table, f"{study_labels()[study]}: {which} ({len(table)})"


def example() -> tuple[str, pd.DataFrame]:
    """Return the example table of claims that comes with the package, as text, and its verdicts."""
    with resources.as_file(resources.files("radsupport.claims") / "data" / "example_claims.csv") as path:
        return path.read_text("utf-8"), check_claims(path)


def finish(results: pd.DataFrame, root: Path = Path()) -> Path:
    """Write the numbers that other pages quote to ``results/published/09_published.json``."""
    chosen = results[results["counted"]]
    numbers: dict[str, Any] = {"n_claims": _number(len(chosen))}
    for verdict in VERDICTS:
        numbers[verdict.replace(" ", "_")] = _number(int((chosen["verdict"] == verdict).sum()), len(chosen))
    for row in verdicts_per_paper(results).to_dict("records"):
        key = str(row["paper"]).lower().replace(" ", "")
        numbers[f"{key}_does_not_hold"] = _number(int(row[FAILS]), int(row["claims"]))
    numbers["p_values_on_the_other_side"] = _number(len(significance_changes(results)))
    folder = results_folder(root)
    with resources.as_file(resources.files("radsupport.claims") / "data" / "claims.csv") as claims:
        return write_chapter_json(folder, CHAPTER, numbers, inputs=[claims])


def _number(value: int, n: int | None = None) -> dict[str, Any]:
    return {"value": value, "n": n, "ci_low": None, "ci_high": None}
