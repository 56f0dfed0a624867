"""What chapter 10 says of the printed values of the four papers."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from radsupport.wording import counted, fixed, listed, share, two_digits


def headline(numbers: Mapping[str, tuple[int, int | None]]) -> str:
    """Say how many printed values hold.

    Parameters
    ----------
    numbers : mapping
        From `claims.numbers`: n_claims, holds, does_not_hold, cannot_be_decided, p_values_on_the_other_side.
    """
    value = {name: number for name, (number, _) in numbers.items()}
    return (
        f"Of **{value['n_claims']}** printed values, **{value['holds']}** hold, **{value['does_not_hold']}** do not, "
        f"and **{value['cannot_be_decided']}** can not be decided from what is printed."
    )


def strength(rows: pd.DataFrame, ours: str, search: str, shuffled: str) -> str:
    """Say for each open table what is found inside the folds, what a search that is not nested claims, and of nothing.

    Parameters
    ----------
    rows : DataFrame
        benchmarks/strength.csv: table, protocol, raw, scaled, configurations.
    ours, search, shuffled : str
        Names of the shipped protocol, of the search, and of the search on shuffled outcomes.
    """
    lines = []
    for name, part in rows.groupby("table", sort=False):
        own, found, null = (part[part["protocol"] == one] for one in (ours, search, shuffled))
        if own.empty:
            continue
        if found.empty or null.empty:
            means = part.groupby("protocol", sort=False)["scaled"].mean()
            others = "".join(f"; {one} {fixed(value, 3)}" for one, value in means.drop(ours).items())
            words = f"{ours}, mean of {counted(len(own), 'division')}{others}"
            lines.append(f"- **{name}**: {fixed(means[ours], 3)} inside the folds ({words}).")
            continue
        nested, best, empty = own["scaled"].mean(), float(found["raw"].max()), null["raw"]
        beaten = f"{int((empty >= nested).sum())} of {counted(len(empty), 'shuffled run')} reached the nested value"
        lines.append(
            f"- **{name}**: AUC {fixed(nested, 3)} inside the folds ({ours}, mean of {counted(len(own), 'division')}); "
            f"{fixed(best, 3)} as the best of {int(found['configurations'].max())} configurations, of which the same "
            f"search finds {fixed(empty.min(), 3)} to {fixed(empty.max(), 3)} in outcomes that mean nothing ({beaten})."
        )
    return "\n".join(lines)


def not_counted(rows: int, claims: int) -> str:
    """Say how many rows of the table of claims are checked and not counted; empty where none."""
    others = rows - claims
    return (
        f"{counted(others, 'further row')} of the table of claims {'is' if others == 1 else 'are'} not counted, for "
        "want of a printed value of their own that could fail."
    ) * bool(others)


def by_paper(papers: pd.DataFrame, changes: pd.DataFrame) -> str:
    """Say how many decided values of each paper do not hold, and where P changes sides.

    Parameters
    ----------
    papers : pandas.DataFrame
        From `claims.verdicts`: paper, holds, does not hold.
    changes : pandas.DataFrame
        From `claims.significance_changes`: paper.
    """
    decided = papers["holds"] + papers["does not hold"]
    rows = zip(papers["paper"], papers["does not hold"], decided, strict=True)
    failed = [f"{paper} {n} of {of} ({share(n / of)})" for paper, n, of in rows if of]
    where = [f"{paper} {n}" for paper, n in changes["paper"].value_counts(sort=False).items()]
    sides = f"- Every test tried puts {counted(len(changes), 'P value')} on the other side of 0.05: {listed(where)}."
    none = "- No P value lies on the other side of 0.05 by every test tried."
    first = (
        f"- Decided values that do not hold: {listed(failed)}; papers print different things, so this is no ranking."
    )
    return f"{first}\n{sides if where else none}"


def where_they_differ(kinds: pd.DataFrame) -> str:
    """Say which two kinds of claim fail most, by count and by share of the decided ones.

    Parameters
    ----------
    kinds : pandas.DataFrame
        kind, holds, does not hold; one row per kind.
    """
    counts = kinds.set_index("kind")[["holds", "does not hold"]].astype(int)
    failed, decided = counts["does not hold"], counts.sum(axis=1)
    if not failed.any():
        return "No value that could be decided does not hold."

    def most(by: pd.Series) -> str:
        first = by.sort_values(ascending=False, kind="stable").head(2)
        return listed([f"“{kind}” ({failed[kind]} of {decided[kind]})" for kind in first.index if first[kind] > 0])

    sound = [kind for kind in counts.index if decided[kind] and not failed[kind]]
    return (
        f"Of the {failed.sum()} values that do not hold, the kinds with the most are {most(failed)}; by the share of "
        f"those that could be decided, {most(failed / decided)} come first."
        + (f" Nothing fails in: {listed(sound)}." if sound else "")
    )


def findings(table: pd.DataFrame, study: str) -> str:
    """List one paper's findings (study, title, text) in Markdown."""
    chosen = table[table["study"] == study]
    return "\n\n".join(f"- **{row.title}.** {row.text}" for row in chosen.itertuples())


def events_per_feature(sizes: pd.DataFrame) -> str:
    """Say how many events per candidate feature the studies have that list features, from `claims.sample_sizes`."""
    first = sizes.drop_duplicates("study").dropna(subset=["parameters"])
    ratios = first["events_per_parameter"]
    return (
        f"The {len(ratios)} studies that select from features have {two_digits(ratios.min())} to "
        f"{two_digits(ratios.max())} events per candidate feature, where ten or more are customary and even those are "
        "often too few."
    )


def sample_size(sizes: pd.DataFrame) -> str:
    """Say how the available patients compare with the required ones, at best, from `claims.sample_sizes`."""
    best = sizes.loc[sizes.groupby("study", sort=False)["share"].idxmax()]
    parts = [f"{row.study} {row.n} of {row.required} ({row.share:.0%})" for row in best.itertuples()]
    return f"Patients available of those required in each study's least demanding row: {', '.join(parts)}."
