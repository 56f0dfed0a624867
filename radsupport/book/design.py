"""What is drawn of a study from its file: its design, on its first page, and how its network describes a patient."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from radsupport.book.runs import why_unused
from radsupport.plots.design import design
from radsupport.settings.features import Cnn3d, Resnet, Unet
from radsupport.settings.learning import Signature
from radsupport.settings.study import Study
from radsupport.wording import listed

_ROLES = {
    "train": "training: cross-validated, the threshold is locked here",
    "internal": "held out: never fitted",
    "external": "never fitted",
    "segmentation": "outlines only: they train the network",
}
_SOURCES = {
    "radiomics": ("Radiomics", "size, grey levels, texture"),
    "deep": ("Deep features", ""),
    "deep_published": ("Published network", "its output, fitted by others"),
    "ct_findings": ("CT findings", ""),
    "clinical": ("Clinical data", ""),
}
_NETWORKS = {"unet": "U-Net that outlines", "resnet": "ResNet", "cnn3d": "3-D network trained on the outcome"}
_SCANS, _REGIONS, _FEATURES, _SIGNATURES = "Scans", "Region", "Features", "Signatures"


def design_of(study: Study) -> str:
    """Return the drawing of a study's design as HTML."""
    stages = {
        _SCANS: {phase.name: _of_phase(study, key) for key, phase in study.phases.items()},
        _REGIONS: dict(_regions(study)),
        _FEATURES: {_SOURCES[source][0]: _of_source(study, source) for source in _sources(study)},
        _SIGNATURES: {one.name: _of_signature(study, one) for one in study.signatures},
        "Judged in": {
            one.name: _ROLES.get(str(key).partition("_")[0], "")
            for key, one in study.cohorts.items()
            if key != "segmentation"
        },
        "Outcome": dict(_outcomes(study)),
    }
    stages = {stage: boxes for stage, boxes in stages.items() if boxes}
    words = "; ".join(f"{stage.lower()}: {listed(list(boxes))}" for stage, boxes in stages.items())
    best = study.validation.best or study.signatures[0].name
    alt = f"Design of the study {study.id}. {words}. Chosen signature: {best}."
    return design(stages, list(_links(study)), marked=[(_SIGNATURES, best)], alt=alt)


def _of_phase(study: Study, key: str) -> str:
    if study.data.entry == "features":
        return "features measured by others"
    return "for CT findings only" if study.phases[key].role == "findings" else ""


def _regions(study: Study) -> Iterable[tuple[str, str]]:
    """Yield what is looked at: an outline, or a rough box around it, and by what."""
    if study.data.entry == "features":
        return
    outline, rough = "Outline of the tumour", "Rough box around it"
    users: dict[str, list[str]] = {}
    for who, part in (("radiomics", study.radiomics), ("network", study.deep)):
        if isinstance(part, Cnn3d):
            from radsupport.networks.result import said

            kinds = said(part, "sampling").split("; ")
        elif isinstance(part, Resnet):
            kinds = [outline if part.masked else "Square around the tumour"]
        else:
            kinds = [rough if part.roi == "rough" else outline] if part is not None else []
        for kind in kinds:
            users.setdefault(kind[:1].upper() + kind[1:], []).append(who)
    for kind, whose in users.items():
        yield kind, f"for {listed(whose)}"


def _sources(study: Study) -> list[str]:
    """Return the sources that signatures use, columns by the source that they come from."""
    found = [source for one in study.signatures for source in _needs(study, one)]
    return [source for source in _SOURCES if source in found]


def _needs(study: Study, one: Signature) -> list[str]:
    columns = {study.columns[key].source for key in one.columns if key in study.columns}
    return [source for source in _SOURCES if source in (*one.sources, *columns)]


def _of_source(study: Study, source: str) -> str:
    if source == "deep" and study.deep is not None:
        return _NETWORKS.get(study.deep.network, study.deep.network)
    own = [one.label for one in study.columns.values() if one.source == source]
    if own and source in ("ct_findings", "clinical"):
        return ", ".join(own) if len(own) <= 3 else f"{', '.join(own[:2])} and {len(own) - 2} more"
    return _SOURCES[source][1]


def _of_signature(study: Study, one: Signature) -> str:
    """Return what a signature is made of beyond the lines that lead to it, and its learner."""
    columns = [study.columns[key].label if key in study.columns else key for key in one.columns]
    parts = [*one.combines, *columns]
    phases = [study.phases[key].short for key in one.phases if key in study.phases and len(study.phases) > 1]
    made = f"{', '.join(parts)}; " if parts and one.combines else ""
    where = f"{', '.join(phases)}; " if phases else ""
    return f"{made}{where}{'as published' if one.learner == 'published' else one.learner}"


def _outcomes(study: Study) -> Iterable[tuple[str, str]]:
    endpoint = study.endpoint
    if endpoint.label is not None:
        yield endpoint.label.name, f"{endpoint.label.positive} or {endpoint.label.negative}"
    if endpoint.survival is not None:
        months = listed([f"{month:g}" for month in endpoint.survival.horizons_months])
        divided = "; risk groups" * (not why_unused("07_survival", study))
        yield endpoint.survival.name, f"over time; at {months} months{divided}" if months else f"over time{divided}"
    if not why_unused("08_nomogram", study):
        yield "Nomogram", "the signature beside clinical data"


def _links(study: Study) -> Iterable[tuple[str, str, str, str]]:
    """Yield which features a signature learns from."""
    for one in study.signatures:
        for source in _needs(study, one):
            yield _FEATURES, _SOURCES[source][0], _SIGNATURES, one.name


def extraction(deep: Unet | Resnet | Cnn3d, layers: pd.DataFrame) -> str:
    """Return the drawing of the way from a patient's scan to what the network says, as HTML, in a study's settings.

    Parameters
    ----------
    deep : Unet, Resnet or Cnn3d
    layers : DataFrame
        The network's `networks.layers`.
    """
    from radsupport.networks.result import ROWS, said  # loads torch: five seconds wherever the book is imported

    own = {key: said(deep, key) for key in ROWS[deep.network]}
    own |= {f"{key} first": words[:1].upper() + words[1:] for key, words in own.items()}
    last = layers.set_index("layer")["output_shape"].str.replace(", ", " × ")
    stages = {Unet: _by_slices, Resnet: _by_channels, Cnn3d: _by_patch}[type(deep)](own, last)
    words = "; ".join(f"{stage.lower()}: {'; '.join(map(' '.join, boxes.items()))}" for stage, boxes in stages.items())
    return design(stages, alt=f"From the scan to the features. {words}.")


def _by_slices(own: dict[str, str], last: pd.Series) -> dict[str, dict[str, str]]:
    maps = next(shape for layer, shape in last.items() if str(layer).startswith("bottleneck"))
    features = f"{maps.rsplit(' ', 1)[1]} features"
    return {
        "Region": {own["roi first"]: "smallest box that holds it, in the window of the phase"},
        "Input": {"Every slice of the box": own["input_px"]},
        "Network": {"Encoder of the trained U-Net": f"maps of the bottleneck: {maps}"},
        "Slice": {"Mean of each map": f"{features} of a slice"},
        "Patient": {own["aggregation first"]: f"{features} of a patient"},
    }


def _by_channels(own: dict[str, str], last: pd.Series) -> dict[str, dict[str, str]]:
    maps = last["residual blocks 4"]
    return {
        "Region": {own["box_mm first"]: "around the largest section"},
        "Input": {own["slices first"]: f"{own['input_px']}; normalisation: {own['normalisation']}"},
        "Network": {f"ResNet-{own['depth']} without its last layer": f"maps of the last block: {maps}"},
        "Patient": {own["pooling first"]: f"{maps.rsplit(' ', 1)[1]} features of a patient and phase"},
    }


def _by_patch(own: dict[str, str], last: pd.Series) -> dict[str, dict[str, str]]:
    samplings = own["sampling first"].split("; ")
    return {
        "Region": {sampling: "all else is 0" * sampling.endswith("(SS)") for sampling in samplings},
        "Input": {own["patch"]: f"covers {own['field_mm']}, around the {own['centre']}"},
        "Network": {"3-D CNN": f"last maps {last['max_pooling4']}, then {last['flatten']} numbers"},
        "Patient": {"Probability of the event": "of the last layer's two units, in place of features"},
    }
