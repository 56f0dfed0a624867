"""What only the author of a study knows: no file of it says so, and no run can find out."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from radsupport.settings.parts import Part


def _asked(question: str) -> Any:
    return Field(default="", description=question)


class Author(Part):
    """What reporting checklists, the model card and the data card ask of the author, each in a sentence or two.

    All of it may be left out: a page then says that it needs the author. Nothing here changes a number. Of a synthetic
    study it holds what the paper prints of its own patients.
    """

    title: str = _asked("the title of the report: development or validation, patients, outcome, radiomics, AI")
    keywords: str = _asked("keywords of the report")
    background: str = _asked("the clinical question behind it, and models that exist")
    rationale: str = _asked("why images and machine learning are tried here")
    earlier_work: str = _asked("earlier work, and what is different here")
    overlap: str = _asked("patients who were published before")
    design: str = _asked("retrospective or prospective, and the kind of study")
    setting: str = _asked("where the patients were treated: kind and place of the hospitals")
    recruitment: str = _asked("first and last day of accrual")
    follow_up: str = _asked("end of follow-up, and how patients were followed")
    eligibility: str = _asked("who was included and who was not, and whether these stand for all such patients")
    treatments: str = _asked("treatments that patients received, and how the analysis handles them")
    outcome_assessment: str = _asked("how and when the outcome was determined, alike for everybody or not")
    outcome_assessors: str = _asked("who determined the outcome, with what experience")
    outcome_blinding: str = _asked("whether they knew the predictors")
    reference_standard: str = _asked("why this outcome, or reference standard, was chosen")
    predictor_assessment: str = _asked("who read findings and took clinical values, with what experience")
    predictor_blinding: str = _asked("whether they knew the outcome")
    outlines: str = _asked("how regions were outlined: by hand or not, software, rules, which image")
    readers: str = _asked("who outlined: number, experience, consensus")
    timing: str = _asked("time from the scan to treatment, or to the outcome")
    imaging: str = _asked("imaged region and protocol: clinical routine or a guideline")
    patient_preparation: str = _asked("instructions, drugs, comfort and conditions that affect the scan")
    extraction: str = _asked("how features were computed, where the study starts from a table of them")
    sample_size: str = _asked("how the number of patients was fixed beforehand")
    inequalities: str = _asked("groups of patients who are known to fare worse")
    fairness: str = _asked("what was done so that the model serves all groups alike")
    ethics: str = _asked("approval with its number, and consent")
    funding: str = _asked("who paid, and what the funders decided")
    conflicts: str = _asked("conflicts of interest")
    protocol: str = _asked("where the protocol can be read")
    registration: str = _asked("register and number of the study")
    deidentification: str = _asked("how data were de-identified before they came here")
    data_availability: str = _asked("where others find the data")
    code_availability: str = _asked("where others find the code")
    model_availability: str = _asked("where others find the model")
    involvement: str = _asked("how patients and the public took part, or that they did not")
    intended_use: str = _asked("what the model is for: which patients, which decision, at which point of care")
    users: str = _asked("who uses it, and what they have to know")
    interpretation: str = _asked("what the results mean, beside earlier ones")
    implications: str = _asked("what follows for practice")
    next_steps: str = _asked("what should be studied next")
    risk_of_bias: str = _asked("your judgement of the risk of bias: low, high or unclear, by domain and overall")
    applicability: str = _asked("your judgement whether patients, predictors and outcome fit the question")

    @property
    def missing(self) -> dict[str, str]:
        """What has not been said, as questions by key."""
        return {k: str(one.description) for k, one in type(self).model_fields.items() if not getattr(self, k).strip()}
