"""The typed shape of a study YAML: every key, its unit and its allowed values."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, model_validator

from radsupport.settings.author import Author
from radsupport.settings.evaluation import Nomogram, SurvivalAnalysis, Validation
from radsupport.settings.features import Deep, Radiomics, Window
from radsupport.settings.learning import Modelling, Signature
from radsupport.settings.parts import Cohort, CohortName, Column, Endpoint, Part, Share, SourceName, TestName
from radsupport.settings.synthetic import Synthetic


class Data(Part):
    """Where the study's tables and images come from.

    `clinical` is the path of the sheet as the manifest writes it (unless the manifest has a row of role
    clinical); several `clinical_sheet` of one workbook are joined by subject. `feature_tables` maps a
    center to its table, `feature_columns` a feature source to the pattern that its columns match. `cohort`
    names the column of the clinical table that holds each subject's cohort (its key or name in `cohorts:`),
    for a split that was fixed beforehand; without it cohorts follow from centers and shares. `decimal` is the decimal
    mark of the sheets, needed only where numbers like 1.792 can be read in two ways. `collection` is the public
    collection that `radsupport idc` lists and fetches. `sheet` is the sheet of workbooks whose first is not meant, and
    `header_row` the row of the header (as a spreadsheet numbers it) where it is not the first that names the subject.
    """

    kind: Literal["synthetic", "real"]
    entry: Literal["images", "features"] = "images"
    dataset: str = ""
    collection: str = ""
    manifest: str = "data_manifest.csv"
    local_only: bool = False
    licence: str = ""
    clinical: str = ""
    clinical_sheet: str | list[str] = ""
    subject: str = "subject"
    center: str = "center"
    cohort: str = ""
    missing_values: list[str] = ["", "NA", "--", "n/a"]
    sheet: str = ""
    header_row: Annotated[int, Field(ge=0)] = 0
    decimal: Literal["", ".", ","] = ""
    feature_tables: dict[str, str] = {}
    feature_columns: dict[SourceName, str] = {}


class Phase(Part):
    """One contrast phase."""

    name: str
    short: str
    window: Window
    role: Literal["model", "findings"] = "model"


class CohortTables(Part):
    """Baseline tables of chapter 01.

    `tests_by_cohort` and `tests_by_outcome` map a column to the test that the paper names (else it is chosen from the
    data); `by_cohort_as` and `by_outcome_as` say which printed table has this layout. `by_outcome_in` names further
    cohorts whose patients are tabulated by outcome. `with_outcome` puts the label itself into the table by cohort.
    """

    normality_alpha: Share = 0.05
    adjust: Literal["none", "bh"] = "none"
    tests_by_cohort: dict[str, TestName] = {}
    tests_by_outcome: dict[str, TestName] = {}
    by_cohort_as: str = ""
    by_outcome_as: str = ""
    by_outcome_in: list[CohortName] = []
    with_outcome: bool = False


class Preprocessing(Part):
    """Resampling of chapter 02.

    `margin_mm` is what is kept around the masks: one number, or one for each of x, y and z. A network that sees a fixed
    field needs half of that field, or the black beyond the margin tells it how large the tumour is.
    """

    spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (1.0, 1.0, 1.0)
    interpolation: Literal["linear", "cubic"] = "cubic"
    margin_mm: PositiveFloat | tuple[PositiveFloat, PositiveFloat, PositiveFloat] = 10.0


class Acquisition(Part):
    """How a paper says that its scans were made; chapter 02 shows it beside the scans of this build.

    `settings` maps the name of a setting (with its unit) to what is printed, for all scans or by center or phase;
    `where` is the place in the paper.
    """

    where: str = ""
    settings: dict[str, str | dict[str, str]] = {}


class Reported(Part):
    """What a paper prints of its patients or methods and cannot be computed; chapter 01 shows it beside this build."""

    what: str
    printed: str
    here: str = "not simulated"
    where: str = ""


class Published(Part):
    """One printed value that a chapter shows beside ours; never a target."""

    chapter: str
    item: str
    value: str
    where: str
    ours: str = ""


class Publish(Part):
    """What leaves the house: whether tables with a row per patient can be taken along; by default of synthetic ones."""

    patients: bool | None = None


class Caution(Part):
    """What a reader must know: a limit of the data or a contradiction in print; `chapters` (such as "01") show it."""

    text: str
    chapters: list[str] = []

    def __str__(self) -> str:
        """Return the sentence."""
        return self.text


def _as_caution(given: object) -> object:
    """Let a plain sentence stand for a caution of no particular chapter: on the study's page and in chapter 01."""
    return {"text": given} if isinstance(given, str) else given


class Study(Part):
    """One study: the question, its data, and every setting of every chapter.

    `model` is the path of a locked model (a folder, or a JSON file) that the study only validates: it has no training
    cohort, and what the file does not say of signatures and columns is taken from the model (`radsupport.study`).
    """

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: str
    question: str
    citation: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    profile: str = "demo"
    model: str = ""
    data: Data
    endpoint: Endpoint
    cohorts: dict[CohortName, Cohort]
    columns: dict[str, Column] = {}
    phases: dict[str, Phase] = {}
    cohort_tables: CohortTables = CohortTables()
    preprocessing: Preprocessing = Preprocessing()
    radiomics: Radiomics | None = None
    deep: Deep | None = None
    signatures: list[Signature]
    modelling: Modelling = Modelling()
    validation: Validation = Validation()
    survival: SurvivalAnalysis = SurvivalAnalysis()
    nomogram: Nomogram = Nomogram()
    synthetic: Synthetic | None = None
    acquisition: Acquisition = Acquisition()
    reported: list[Reported] = []
    publish: Publish = Publish()
    author: Annotated[Author, BeforeValidator(lambda given: {} if given is None else given)] = Author()
    published: list[Published] = []
    cautions: list[Annotated[Caution, BeforeValidator(_as_caution)]] = []

    @model_validator(mode="before")
    @classmethod
    def _without_label(cls, given: Any) -> Any:
        """Take the defaults that need no yes/no outcome where a study has none."""
        endpoint = given.get("endpoint") if isinstance(given, dict) else None
        if not isinstance(endpoint, dict) or endpoint.get("label"):
            return given
        median = {"threshold": "median"}
        own = {"validation": median, "survival": median, "nomogram": {"model": "cox"}}
        sections = {key: given.get(key) or {} for key in own}
        return given | {key: own[key] | part for key, part in sections.items() if isinstance(part, dict)}

    @property
    def is_synthetic(self) -> bool:
        """Whether every case of this study comes from the generator."""
        return self.data.kind == "synthetic"

    def before_modelling(self) -> Study:
        """Return what data, cohort, scans and features are made from: what only later chapters read is left out.

        Networks take the number of folds, and tables tell a published signature from one that is fitted.
        """
        folds = self.modelling.model_dump(include={"folds"}, exclude_unset=True)
        later = {"modelling": Modelling(**folds), "validation": Validation(), "survival": SurvivalAnalysis()}
        later["author"] = Author()
        fitted = {"learner": Signature.model_fields["learner"].default, "harmonise": False}
        signatures = [
            one if one.learner in ("published", "Network") else one.model_copy(update=fitted) for one in self.signatures
        ]
        return self.model_copy(update={**later, "nomogram": Nomogram(), "signatures": signatures})

    @property
    def publishes_patients(self) -> bool:
        """Whether a reader may take along tables with a row per patient."""
        return self.is_synthetic if self.publish.patients is None else self.publish.patients

    @property
    def quotes_print(self) -> bool:
        """Whether the study file quotes a paper, beside whose values this build's can stand."""
        advised = any(one.by_side for one in self.validation.subgroups)
        return bool(self.published or self.reported or self.acquisition.settings or self.effort or advised)

    @property
    def cohort_names(self) -> dict[Any, str]:
        """Names of the cohorts in words, by their keys (strings; pandas calls the keys of groups Hashable)."""
        return {str(key): cohort.name for key, cohort in self.cohorts.items()}

    @property
    def described(self) -> dict[str, Column]:
        """What the table by cohort describes: the variables and, where the paper's table has it, the outcome."""
        found, names = self.endpoint, self.endpoint.outcome_names
        if not self.cohort_tables.with_outcome:
            return self.columns
        words: dict[str, Any] = {"label": found.event_name, "levels": [*names.values()], "recode": names}
        return {found.event: Column(source="clinical", kind="category", **words), **self.columns}

    @property
    def effort(self) -> list[dict[str, Any]]:
        """What a reader needs on average for the region of a choice: rows of signature, variant, seconds."""
        sections = {"radiomics": self.radiomics, "deep": self.deep}
        rows = []
        for one in self.signatures:
            part = sections.get(one.sources[0]) if len(one.sources) == 1 else None
            for name, seconds in part.reader_seconds.items() if part is not None else ():
                mean = sum(seconds) / len(seconds)
                rows.append({"signature": one.name, "variant": name, "seconds": mean})
        return rows

    def signature(self, name: str) -> Signature:
        """Return the signature called `name`."""
        return next(s for s in self.signatures if s.name == name)
