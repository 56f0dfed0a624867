"""Claims about median survival and length of follow-up."""

from __future__ import annotations

from datetime import date

from radsupport.errors import InputError
from radsupport.published.inputs import as_count, as_table
from radsupport.published.rounding import read_number
from radsupport.published.verdicts import HOLDS, Claim, Verdict, decide, form

MONTH_DAYS = (30, 31)


@form("survival", "overall", "low", "high")
def overall_between_groups(claim: Claim) -> Verdict:
    """Ask whether the median of all lies between the medians of the two groups they are divided into.

    `low` and `high` name the low-risk and the high-risk group, so `low` has the longer median.
    """
    overall, low, high = (read_number(claim.inputs[name], name) for name in ("overall", "low", "high"))
    least, most = sorted((low, high), key=lambda each: each.value)
    ok = overall.high >= least.low and overall.low <= most.high
    reason = f"The groups have medians of {least} and {most}; the median of both together is printed as {overall}."
    if not ok:
        reason += " The survival curve of all patients runs between those of the groups, but for effects of censoring."
    return Verdict(decide(ok), reason, f"{least} to {most}", "between the groups")


def _month(text: str) -> tuple[int, int]:
    try:
        moment = date.fromisoformat(f"{text}-01")
    except ValueError as error:
        raise InputError(f"a month must read like 2011-08, it is {text!r}.") from error
    return moment.year, moment.month


@form("survival", "first", "end")
def longest_follow_up(claim: Claim) -> Verdict:
    """Compare the longest follow-up with the time between the first possible inclusion and the end."""
    (y1, m1), (y2, m2) = _month(str(claim.inputs["first"])), _month(str(claim.inputs["end"]))
    most = (y2 - y1) * 12 + m2 - m1 + 1
    if most < 1:
        raise InputError("`end` must not lie before `first`.")
    stretched = most * MONTH_DAYS[1] / MONTH_DAYS[0]
    ok = claim.number().low <= stretched
    reason = f"{claim.inputs['first']} to {claim.inputs['end']} is at most {most} months; printed {claim.number()}."
    return Verdict(decide(ok), reason, f"at most {most}", "calendar", {"months": most})


@form("survival", "events", "horizon", "median")
def median_from_events(claim: Claim) -> Verdict:
    """Compare a median that is not reached, or lies below a time, with the share of patients with the event by then.

    `events` is [[events, patients], …] by `horizon` months with nobody censored before it.
    """
    table = as_table(claim.inputs["events"], "events")
    months, median = as_count(claim.inputs["horizon"], "horizon", 1), claim.inputs["median"]
    if table.shape[1] != 2 or (table[:, 0] > table[:, 1]).any() or median not in {"not reached", "below"}:
        raise InputError("`events` must be [[events, patients], …] and `median` `not reached` or `below`.")
    shares = [100 * k / n for k, n in table.tolist()]
    shown = ", ".join(f"{k}/{n} = {share:.0f}%" for (k, n), share in zip(table.tolist(), shares, strict=True))
    ok = all(share >= 50 for share in shares) if median == "below" else all(share < 50 for share in shares)
    needed = f"below {months} months needs half or more" if median == "below" else "not reached needs fewer than half"
    reason = f"{shown} had the event by {months} months; a median {needed} of the patients to have had it."
    if ok and median == "not reached":
        return Verdict(HOLDS, reason + " Later events are not printed.", shown, "share with the event")
    return Verdict(decide(ok), reason, shown, "share with the event")
