"""The columns of the reader's sheets: clinical variables and CT findings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from radsupport.settings.parts import Part


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
        return self
