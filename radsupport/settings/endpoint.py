"""What a study predicts: a label, a time to an event, or both, and the columns of the clinical table that hold it."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveFloat, model_validator

from radsupport.settings.parts import Part


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


class Survival(Part):
    """The time-to-event endpoint; follow-up is stored in months whatever unit the sheet uses.

    `days_per_month` converts days; the default is a year of 365.25 days over twelve. A status that is
    neither among `event_values` nor among `censored_values` is an error. `event_name` says what happens, in a word.
    """

    time: str
    event: str
    name: str
    event_name: str = "event"
    unit: Literal["days", "months"] = "months"
    days_per_month: PositiveFloat = 30.4375
    event_values: list[str] = ["1"]
    censored_values: list[str] = ["0"]
    horizons_months: list[PositiveFloat] = [36.0, 60.0]


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
        return self.label.name if self.primary == "label" and self.label is not None else self.followed

    @property
    def followed(self) -> str:
        """What follow-up waits for, in words; empty where there is no follow-up."""
        return f"{self.survival.event_name} ({self.survival.name})" if self.survival is not None else ""
