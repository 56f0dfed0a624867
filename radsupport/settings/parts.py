"""What all parts of a study file share: their base, which refuses unknown keys, and the words they use."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat, model_validator

COHORTS = ("train", "internal", "external", "segmentation")
#: There may be several external cohorts, each under a name of its own.
COHORT_KEY = re.compile(r"train|internal|external(_[a-z0-9]+)?|segmentation")
SourceName = Literal["ct_findings", "clinical", "radiomics", "deep", "deep_published"]
TestName = Literal[
    "student_t", "welch_t", "mann_whitney", "anova", "welch_anova", "kruskal",
    "chi_square", "chi_square_yates", "fisher",
]  # fmt: skip


def _cohort_key(key: str) -> str:
    if not COHORT_KEY.fullmatch(key):
        raise ValueError(
            f"a cohort is one of {', '.join(COHORTS)}, or one of several external ones such as external_north"
        )
    return key


CohortName = Annotated[str, AfterValidator(_cohort_key)]
Share = Annotated[float, Field(ge=0, le=1)]
Folds = Annotated[int, Field(ge=2)]
_WHOLE = re.compile(r"^(-?\d+)\.0+$")  # a spreadsheet's 1.0 is the code 1


class Part(BaseModel):
    """Base of every part of a study file: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Measure(Part):
    """How images give a column; chapter 02 shows the value beside the reader's entry.

    `phases` are those that it is taken in, `before` the phase before contrast (`enhanced_rate`). `threshold` is in mm
    for a `diameter_class`, in HU for `calcification` (above it) and `cystic_part` (below it in every phase);
    `threshold_belongs` says which of the two diameter classes holds the threshold itself.
    """

    what: Literal["max_diameter", "diameter_class", "ct_ratio", "enhanced_rate", "calcification", "cystic_part"]
    phases: Annotated[list[str], Field(min_length=1)]
    before: str = ""
    threshold: float = 0.0
    threshold_belongs: Literal["upper", "lower"] = "upper"


class Column(Part):
    """One clinical variable or CT finding, as the reader's sheet holds it.

    `group` is the heading under which baseline tables list it.
    """

    source: Literal["clinical", "ct_findings"]
    kind: Literal["number", "category"]
    label: str
    definition: str = ""
    unit: str = ""
    levels: list[str] = []
    minimum: float | None = None
    maximum: float | None = None
    column: str | None = None
    recode: dict[str, str] = {}
    group: str = ""
    measure: Measure | None = None
    time_of_knowledge: Literal["preoperative", "postoperative"] = "preoperative"

    @property
    def words(self) -> str:
        """The label with its unit, where there is one."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @model_validator(mode="after")
    def categories_have_levels(self) -> Column:
        """Require levels of a category; the first one is the reference."""
        if self.kind == "category" and len(self.levels) < 2:
            raise ValueError("a category needs `levels:` with two or more values, the reference first")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"`minimum` {self.minimum:g} is above `maximum` {self.maximum:g}")
        aims = sorted({level for level in self.recode.values() if level not in self.levels})
        if self.kind == "category" and aims:
            raise ValueError(f"`recode` leads to {', '.join(aims)}, which `levels` does not list")
        return self


class Label(Part):
    """The binary endpoint: `column` is 0/1 in the cohort table, 1 being `positive`.

    `horizon_months`: the time by which the event has to happen, for labels like "recurrence within two years".
    `known`: whether the label is settled at once (a finding at surgery) or may still come during follow-up.
    """

    column: str
    name: str
    positive: str
    negative: str
    recode: dict[str, int] = {}
    horizon_months: PositiveFloat | None = None
    known: Literal["", "at_once", "during_follow_up"] = ""

    @model_validator(mode="after")
    def recode_has_two_classes(self) -> Label:
        """Refuse codes that leave one class, or are neither 0 nor 1."""
        codes = set(self.recode.values())
        if self.recode and codes != {0, 1}:
            raise ValueError(f"`recode` must lead to 0 and to 1, it leads to {', '.join(map(str, sorted(codes)))} only")
        return self


class Dates(Part):
    """Columns of the dates between which a patient was followed, and the order of dates like 02/03/2015."""

    start: str
    end: str
    order: Literal["", "day first", "month first"] = ""

    @property
    def header(self) -> str:
        """What the column that is counted from both is called."""
        return f"follow-up from {self.start} to {self.end}"


class Survival(Part):
    """The time-to-event endpoint; follow-up is stored in months whatever unit the sheet uses.

    `time` names the column of follow-up; where the sheet has two dates instead, `dates` names them, such as ``{start:
    operated, end: last_seen}``, and the days between them are counted.

    `days_per_month` converts days and weeks; the default is a year of 365.25 days over twelve. A status that is
    among none of `event_values`, `censored_values` and `competing_values` is an error. `event_name` says what happens,
    in a word.

    `competing_values` are the codes of what ends follow-up because the event can not come any more, such as death from
    another cause, and `competing_name` is what that is called. Hazards, and all pages but the incidence in chapter 07,
    take such patients as censored then.
    """

    time: str
    dates: Dates | None = None
    event: str
    name: str
    event_name: str = "event"
    unit: Literal["days", "weeks", "months"] = "months"
    days_per_month: PositiveFloat = 30.4375
    event_values: list[str] = ["1"]
    censored_values: list[str] = ["0"]
    competing_values: list[str] = []
    competing_name: str = "competing event"
    horizons_months: list[PositiveFloat] = [36.0, 60.0]

    @model_validator(mode="before")
    @classmethod
    def _days_between_dates(cls, given: Any) -> Any:
        """Name the column that is counted from two dates, in days."""
        if not isinstance(given, dict) or not given.get("dates"):
            return given
        header, unit = Dates.model_validate(given["dates"]).header, given.get("unit", "days")
        if given.get("time", header) != header or unit != "days":
            raise ValueError("`dates` stand in the place of `time` and `unit`: leave these out, or the dates")
        return given | {"time": header, "unit": "days"}

    @property
    def statuses(self) -> dict[str, list[str]]:
        """The codes of a status, by the key that lists them."""
        return {key: getattr(self, key) for key in ("event_values", "censored_values", "competing_values")}

    @model_validator(mode="after")
    def a_code_means_one_thing(self) -> Survival:
        """Refuse a code of two lists, which would mean two things."""
        found: dict[str, list[str]] = {}
        for key, codes in self.statuses.items():
            for code in dict.fromkeys(_WHOLE.sub(r"\1", code.strip()) for code in codes):
                found.setdefault(code, []).append(f"`{key}`")
        twice = [f"{code!r} stands in {' and '.join(keys)}" for code, keys in found.items() if len(keys) > 1]
        if twice:
            raise ValueError(f"a status code means one thing, but {'; '.join(twice)}")
        return self


class Endpoint(Part):
    """What is predicted: a label, a time to event, or both; `primary` names the one models are trained on."""

    primary: Literal["label", "survival"]
    label: Label | None = None
    survival: Survival | None = None

    @model_validator(mode="after")
    def primary_is_described(self) -> Endpoint:
        """Require the endpoint that `primary` names."""
        if getattr(self, self.primary) is None:
            raise ValueError(f"`primary: {self.primary}` needs a section `{self.primary}:` beside it")
        return self

    @property
    def event(self) -> str:
        """Column of a cohort table that counts an event of the primary endpoint."""
        return "label" if self.primary == "label" else "event"

    @property
    def outcome_names(self) -> dict[str, str]:
        """Words for 0 and 1 of the primary endpoint."""
        if self.primary == "label" and self.label is not None:
            return {"0": self.label.negative, "1": self.label.positive}
        event = self.survival.event_name if self.survival is not None else "event"
        return {"0": f"no {event} seen (censored)", "1": f"{event} seen"}

    @property
    def event_name(self) -> str:
        """What counts as an event of the primary endpoint, in words."""
        if self.primary == "label" and self.label is not None:
            return self.label.name
        named = "" if self.survival is None else self.survival.event_name
        return self.followed if named in ("", "event") else named

    @property
    def followed(self) -> str:
        """What follow-up waits for, in words; empty where there is no follow-up."""
        return f"{self.survival.event_name} ({self.survival.name})" if self.survival is not None else ""


class Cohort(Part):
    """Which centers form a cohort; `share` splits one center at random, stratified by the endpoint.

    `validation` says what its patients are to those of training, in the words of the TRIPOD statement.
    """

    name: str
    centers: list[str]
    share: Share | None = None
    validation: Literal["", "random split", "temporal", "geographic"] = ""
