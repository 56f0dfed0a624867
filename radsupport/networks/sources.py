"""From a network to a table of features: one way in for every kind of network that a study may name.

A source is a function of its settings and of what it is `Given`: it cuts what the network sees, trains it, and
describes everybody. `compute` runs any of them, and again for each choice that is compared.

* U-Net (Song 2021): learns to outline the tumour; a patient is what its bottleneck says of the slices.
* ResNet (Yang 2023, Gu 2023): describes the slices around the largest section; fine-tuned on the label in each fold
  or, as Gu 2023 did, on everybody. Out of fold, network k learns from the training patients outside fold k and
  describes everybody; chapter 05 fits and judges fold k on its features alone.
* 3-D CNN (Cui 2022): gives a risk, not features; see `schemes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radsupport.errors import InputError, Problem, StudyError
from radsupport.imaging.patches import BoolArray, Float32Array, SliceStack, cuboid_slices, join_stacks, tumour_channels
from radsupport.networks import cnn3d, resnet, result, unet
from radsupport.networks.inputs import SECOND, Given, Volume, in_rows, required
from radsupport.networks.result import DeepResult, Tables, finish
from radsupport.networks.schemes import learn_cnn3d, new_risks
from radsupport.networks.training import cached_rows, choose_device, content_hash, read_torch_file, threads
from radsupport.parallel import map_cases
from radsupport.settings.features import PRETRAINED, Cnn3d, Resnet, Unet
from radsupport.stats.outcome import assign_folds
from radsupport.tables import Variant
from radsupport.wording import counted

#: How a network that was fine-tuned on everybody is called in figures.
EVERYONE = "all training patients"


def compute(spec: Unet | Resnet | Cnn3d, given: Given, compared_on: Sequence[str] = ()) -> DeepResult:
    """Train the network where it is trained, return every patient's features, and those of the compared choices.

    Parameters
    ----------
    spec : Unet, Resnet or Cnn3d
        Section `deep` of a study file.
    given : Given
        Patients, their scans, and how these are looked at.
    compared_on : sequence of str
        Signatures that are judged with each choice of ``spec.compare``.

    Raises
    ------
    InputError
        Nobody has an input, or a label is needed and there is none.
    """
    if type(spec) not in SOURCES:
        raise StudyError("The study names no network that chapter 04 can run.")
    run, variants = SOURCES[type(spec)], []
    chosen = [spec.chosen(choice) for choice in spec.compare]
    given = replace(given, kept={}, also=tuple(chosen))  # what several of them need is read and computed once
    with threads(given.threads):
        own, *others = (run(one, given) for one in (spec, *chosen))
    for choice, other in zip(spec.compare, others, strict=True):
        words = (choice.name, choice.group, choice.description, "deep", tuple(compared_on))
        variants.append(Variant(*words, other.features, other.by_fold, other.icc))
    return replace(own, variants=tuple(variants))


def describe(spec: Unet | Resnet | Cnn3d, given: Given, weights: Path) -> dict[int | None, pd.DataFrame]:
    """Return the features of new patients by networks that were trained before; nothing is trained.

    Parameters
    ----------
    spec : Unet, Resnet or Cnn3d
    given : Given
        The new patients; who has no input gets a row of NaN.
    weights : Path
        What `DeepResult.write` wrote.

    Returns
    -------
    dict
        Fold (None: by the networks that serve everybody) to the contract table `features_deep`. Values are those of
        `compute` to the precision of float32 (a network adds in another order when it sees other patients at once).

    Raises
    ------
    InputError
        The file of weights is not there or not of this network, or nobody has an input.
    """
    stored = read_torch_file(weights, "file of a network's weights")
    folds = sorted({int(name.partition("@")[2]) for name in stored if "@" in name})
    if isinstance(spec, Unet):
        net = _filled(unet.build_unet(spec.base_channels), stored, "unet", weights)
        tables: dict[int | None, Tables] = {None: bottleneck_tables(spec, given, net, given.predicted, None)[0]}
    elif isinstance(spec, Resnet):
        images, tables = case_images(spec, given), {}
        for fold in (None, *folds):
            tables[fold] = {}
            for phase in images:
                name = next((one for one in (phase, "all") if _numbered(one, fold) in stored), "all")
                one_net = _filled(resnet.build_resnet(spec.depth), stored, _numbered(name, fold), weights)
                tables[fold][phase] = pooled(spec, one_net, images[phase].reader1, None)
    else:
        nets = {name: _filled(cnn3d.build_cnn3d(spec.patch, spec.width), stored, name, weights) for name in stored}
        tables = new_risks(spec, given, nets)
    return {fold: in_rows(given.predicted, parts) for fold, parts in tables.items()}


def _numbered(name: str, fold: int | None) -> str:
    return name if fold is None else f"{name}@{fold}"


def _named(nets: Mapping[int | None, Mapping[str, Any]]) -> dict[str, Any]:
    """Return networks by the names under which their weights are kept: ``all`` where one serves every phase."""
    found: dict[str, Any] = {}
    for fold, by_phase in nets.items():
        shared = len(set(map(id, by_phase.values()))) == 1
        own = {"all": next(iter(by_phase.values()))} if shared else by_phase
        found |= {_numbered(name, fold): net for name, net in own.items()}
    return found


def _filled(net: Any, stored: Mapping[str, Any], name: str, file: Path) -> Any:
    """Return a network with the weights of a file."""
    try:
        net.load_state_dict(stored[name])
    except (KeyError, RuntimeError) as error:  # torch's own, of shapes that differ
        problem = Problem(
            f"no weights `{name}` of this network", remedy="copy the model's whole folder", file=str(file)
        )
        raise InputError("The network's weights do not fit its settings.", [problem]) from error
    return net.eval()


def trainers(spec: Unet | Resnet | Cnn3d, cohort: pd.DataFrame, seed: int = 0) -> dict[str, int]:
    """Return how many patients of which cohort are asked to train the network, on outlines or on the label."""
    who = segmenters(spec, cohort, seed) if isinstance(spec, Unet) else cohort["subject"][cohort["cohort"] == "train"]
    return _by_cohort(cohort, who)


def _by_cohort(cohort: pd.DataFrame, subjects: Sequence[str] | pd.Series | set[str]) -> dict[str, int]:
    counts = cohort.loc[cohort["subject"].isin(subjects), "cohort"].value_counts()
    return {key: int(counts[key]) for key in ("segmentation", "train") if key in counts}


def layers(spec: Unet | Resnet | Cnn3d) -> pd.DataFrame:
    """Return a network layer by layer: layer, output_shape (channels last), parameters, and how it is made."""
    if isinstance(spec, Resnet):
        return resnet.layer_table(spec.depth, spec.input_px)
    if isinstance(spec, Unet):
        return unet.layer_table(spec.base_channels, spec.input_px)
    return cnn3d.layer_table(spec.patch, spec.width)


# U-Net


@dataclass(frozen=True)
class Taught:
    """A trained U-Net, who gave how many slices to it, four examples of these, and who has none."""

    network: unet.TrainedUNet
    trained: set[str]
    n_slices: int
    examples: pd.DataFrame
    failed: pd.DataFrame


def learn_unet(spec: Unet, given: Given) -> DeepResult:
    """Train the U-Net on outlines (or read it back), and describe everybody by its bottleneck."""
    if training_name(spec) not in given.kept:  # those of the compared choices are trained beside it
        apart = {training_name(one): one for one in (spec, *given.also)}
        jobs = _processes(given)
        teach = partial(taught, given=given if jobs == 1 else replace(given, kept={}))
        done_all = map_cases(teach, list(apart.values()), jobs, progress=False)
        given.kept.update(zip(apart, done_all, strict=True))
    done: Taught = given.kept[training_name(spec)]
    network, folder = done.network, given.folder / "unet"
    tables, failed = bottleneck_tables(spec, given, network.model, given.predicted, folder)
    # a rough region has no second reading
    twice = given.twice(30) if spec.roi == "accurate" else []
    again = bottleneck_tables(spec, given, network.model, twice, None, SECOND)[0] if len(twice) > 1 else {}
    kept = network.history.loc[network.history["best"]].iloc[-1]
    watched = counted(len(unet.split_subjects(sorted(done.trained), spec.validation_share)[1]), "patient")
    facts = {
        "patients who trained the network": len(done.trained),
        "slices they gave": done.n_slices,
        "Dice on the validation part": f"{float(kept['validation_dsc']):.2f} (mean over the slices of {watched})",
        "epoch kept": int(kept["epoch"]),
        **dict.fromkeys(result.COUNTED),
        "from slices to patient": result.said(spec, "aggregation"),
    }
    return finish(
        given, {None: tables}, facts, [*failed, done.failed], again,
        weights="random weights (initialisation of He et al.), trained on outlines alone: no ImageNet, no outcome",
        history=result.tidy_history(network.history, "U-Net", result.DICE),
        inputs=done.examples, layers=layers(spec),
        trainers=_by_cohort(given.cohort, done.trained),
        how=f", {spec.validation_share:.0%} of whom form the validation part", nets={"unet": network.model},
    )  # fmt: skip


def training_name(spec: Unet) -> str:
    """Name what a U-Net is trained by: settings with the same name have the same network."""
    return spec.model_dump_json(exclude={"aggregation", "compare", "compare_on", "reader_seconds"})


def _processes(given: Given) -> int:
    """Return how many networks are trained at once: one on a graphics card."""
    return given.jobs if choose_device().type == "cpu" else 1


def taught(spec: Unet, given: Given) -> Taught:
    """Train the U-Net on the slices of those who may teach it, or read it back."""
    who = segmenters(spec, given.cohort, given.seed)
    stack, failed = case_slices(spec, given, spec.train_phase, who)
    shown = thinned(stack, spec.slices_per_case)
    network = train_on(spec, shown, who, given.seed, given.folder / "unet")
    largest = stack.table.groupby("subject", sort=False)["area"].idxmax().head(4)
    examples = result.sheet((subject, stack.images[i, 0], stack.masks[i]) for subject, i in largest.items())
    return Taught(network, set(shown.table["subject"]), len(shown.table), examples, failed)


def segmenters(spec: Unet, cohort: pd.DataFrame, seed: int = 0) -> list[str]:
    """Return who trains the U-Net: the segmentation-only patients and, as published, sampled training patients.

    Song 2021 samples 22 patients of Hospital I, whom the signatures are then cross-validated on. With
    ``sampled_cases: leave_out`` (default) nobody who is predicted later takes part.
    """
    chosen = sorted(cohort.loc[cohort["cohort"] == "segmentation", "subject"])
    if spec.sampled_cases == "as_published":
        rng = np.random.default_rng([seed, 4])
        train = sorted(cohort.loc[cohort["cohort"] == "train", "subject"])
        chosen += sorted(rng.choice(train, min(spec.sampled_training_cases, len(train)), replace=False))
    if len(chosen) < 2:
        raise InputError(f"There is {counted(len(chosen), 'patient')} to train the network on; two or more are needed.")
    return chosen


def case_slices(
    spec: Unet, given: Given, phase: str, subjects: Sequence[str], outline: str = "mask"
) -> tuple[SliceStack, pd.DataFrame]:
    """Cut the windowed slices of some patients, in the order of the cases; subject, phase, reason of who has none.

    Parameters
    ----------
    outline : str
        ``mask`` or ``mask_reader2``: the outline that is learnt, and that the cuboid follows unless it is rough.

    Raises
    ------
    InputError
        Nobody has slices.
    """
    own = given.cases.loc[given.cases["phase"] == phase, "subject"]
    known = own[own.isin(subjects)].tolist()

    def make(volume: Volume) -> SliceStack:
        return cuboid_slices(volume.image, volume.mask, volume.roi, size=spec.input_px)

    order = [*known, *sorted(set(subjects) - set(known))]
    made, failed = given.inputs(phase, order, given.windows[phase], make, outline, roi=spec, keep=True)
    required(made, failed, f"No patient has slices in the {phase} phase")
    named = [replace(stack, table=stack.table.assign(subject=subject)) for subject, stack in made.items()]
    return join_stacks(named), failed


def thinned(stack: SliceStack, per_case: int | None) -> SliceStack:
    """Keep at most `per_case` evenly spread slices of each patient; all of them without a number."""
    if per_case is None:
        return stack
    groups = stack.table.groupby("subject", sort=False).indices.values()
    kept = np.concatenate([rows[spread(len(rows), per_case)] for rows in groups])
    return SliceStack(stack.images[kept], stack.masks[kept], stack.table.iloc[kept].reset_index(drop=True))


def spread(n: int, most: int) -> np.ndarray:
    """Return at most `most` positions of 0 … n - 1, evenly spread with half a step at both ends."""
    return np.unique(np.floor((np.arange(min(n, most)) + 0.5) * n / min(n, most)).astype(int))


def train_on(
    spec: Unet, stack: SliceStack, subjects: list[str], seed: int, checkpoints: Path | None = None,
) -> unet.TrainedUNet:  # fmt: skip
    """Train the U-Net on the slices of some patients, a share of whom validates it (1:9 as printed).

    Raises
    ------
    InputError
        Fewer than two of them have slices.
    """
    usable = set(stack.table["subject"])
    parts = unet.split_subjects([s for s in subjects if s in usable], spec.validation_share, seed)
    settings = unet.UNetSettings.of(spec, seed=seed)
    inside, outside = (stack.table["subject"].isin(part).to_numpy() for part in parts)
    return unet.train_unet(
        stack.images[inside], stack.masks[inside], stack.images[outside], stack.masks[outside],
        settings, checkpoints=checkpoints,
    )  # fmt: skip


def bottleneck_tables(
    spec: Unet, given: Given, model: unet.UNet2D, subjects: Sequence[str], cache: Path | None, outline: str = "mask"
) -> tuple[Tables, list[pd.DataFrame]]:
    """Return the features of patients in every model phase, and who has none.

    A phase's slices are kept under the hash of slices and weights, if there is a folder for them; choices that differ
    in the aggregation alone share them.
    """
    weights = content_hash(model.state_dict())
    tables, failures = {}, []
    for phase in given.phases:
        key = (weights, phase, outline, tuple(subjects), spec.roi, spec.shift_mm, spec.enlarge_mm, spec.input_px)
        if key not in given.kept:
            given.kept[key] = described(spec, given, model, subjects, cache, phase, outline, weights)
        slices, table, failed = given.kept[key]
        tables[phase] = unet.aggregate_slices(slices, table, spec.aggregation, seed=0)
        failures.append(failed)
    return tables, failures


def described(
    spec: Unet, given: Given, model: unet.UNet2D, subjects: Sequence[str], cache: Path | None, phase: str,
    outline: str, weights: str,
) -> tuple[Float32Array, pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Return the bottleneck features of a phase's slices, what each slice is, and who has none."""
    stack, failed = case_slices(spec, given, phase, subjects, outline)
    key = f"bottleneck_{content_hash(weights, stack.images)[:16]}" if cache else ""
    (slices,) = cached_rows([key], lambda _: unet.bottleneck_features(model, stack.images)[None], cache)
    return slices, stack.table, failed


# ResNet


@dataclass(frozen=True)
class Images:
    """What the network sees of one phase, by reader: subject to (3, rows, columns), and who has none.

    `outlines` holds the first reader's outline of each image, where the network is trained on it.
    """

    reader1: dict[str, Float32Array]
    reader2: dict[str, Float32Array]
    failed: pd.DataFrame
    outlines: dict[str, BoolArray]


def learn_resnet(spec: Resnet, given: Given) -> DeepResult:
    """Take everybody's features from a network that has seen no label, or was fine-tuned on it."""
    images, cache = case_images(spec, given), given.folder / "resnet"
    start, history = starting_network(spec, given, images)
    nets: dict[int | None, dict[str, resnet.ResNetFeatures]] = {None: dict.fromkeys(images, start)}
    facts = _facts(spec, images)
    seen = {subject for found in images.values() for subject in found.reader1}
    who = seen & set(given.cohort.loc[given.cohort["cohort"] == "train", "subject"])
    weights, how, folds = start.weights_description, ", without their outcome", None
    if spec.weights in PRETRAINED and resnet.imagenet_file(spec.depth) is None:
        weights += "; no ImageNet weights of this depth are on this machine (`radsupport fetch weights`)"
    kept_in: Path | None = cache
    if spec.fine_tune == "no":
        facts |= {"epoch kept": int(history["kept"].iloc[0])} if len(history) else {}
    else:
        labels = given.labels()
        who, kept_in = seen & set(labels.index), None
        weights += f", then fine-tuned on the labels of {len(who)} training patients"
        folds = assign_folds(labels, given.folds, given.seed) if spec.fine_tune == "out_of_fold" else None
        nets, curves = fine_tuned(spec, given, start, images, labels, folds, cache)
        history = pd.concat([part for part in (history, *curves) if len(part)], ignore_index=True)
        tuned = f"out of fold: {folds.nunique()} networks and one" if folds is not None else ""
        facts |= {
            "training patients whose label was learnt": len(who),
            "fine-tuning": f"{tuned} on everybody" if tuned else "on everybody, as published",
            "epochs kept": ", ".join(str(part["kept"].iloc[0]) for part in curves),
        }
        several = f", in {len(nets) - 1} folds each on the patients of the other folds and once on all"
        how = f"{several if len(nets) > 1 else ''}; a part of these patients is the validation part"
    again = {phase: found.reader2 for phase, found in images.items()}
    read_twice = all(len(part) for part in again.values())
    tables = {
        fold: {phase: everybody(spec, given, own[phase], images, phase, kept_in) for phase in images}
        for fold, own in nets.items()
    }
    second = {phase: pooled(spec, nets[None][phase], part, None) for phase, part in again.items()} if read_twice else {}
    return finish(
        given, tables, facts, [found.failed for found in images.values()], second, spec.icc_kind, weights=weights,
        history=history, inputs=_shown(images), layers=layers(spec), trainers={"train": len(who)}, how=how,
        folds=folds, nets=_named(nets),
    )  # fmt: skip


def _facts(spec: Resnet, images: Mapping[str, Images]) -> dict[str, object]:
    """Return what is counted and said of the inputs, in the order in which a page lists it."""
    box = "smallest square around the tumour" if spec.box_mm is None else f"square of {spec.box_mm:g} mm"
    return {
        result.COUNTED[0]: None,
        "patients read twice": max(len(found.reader2) for found in images.values()),
        **dict.fromkeys(result.COUNTED[1:]),
        "slices": f"{spec.slices}, as {'three channels' if spec.slices == 3 else 'one image in all three channels'}",
        "field": f"{box}, resized to {spec.input_px} pixels; {'tumour only' if spec.masked else 'surroundings kept'}",
        "pooling": f"global {spec.pooling}",
    }


def _shown(images: Mapping[str, Images]) -> pd.DataFrame:
    """Return the middle channel of the first four patients of each phase, without an outline."""
    rows = (
        (f"{subject}, {phase}", image[1], np.zeros(image[1].shape, bool))
        for phase, found in images.items()
        for subject, image in list(found.reader1.items())[:4]
    )
    return result.sheet(rows)


def cut(volume: Volume, spec: Resnet, spacing_mm: float) -> Float32Array:
    """Return the three channels of one case as the study says (`patches.tumour_channels`)."""
    box = None if spec.box_mm is None else round(spec.box_mm / spacing_mm)
    margin = round(spec.margin_mm / spacing_mm)
    return tumour_channels(
        volume.image, volume.mask, size=spec.input_px, slices=spec.slices, box=box, masked=spec.masked, margin=margin
    )


def case_images(spec: Resnet, given: Given) -> dict[str, Images]:
    """Cut everybody's slices in every model phase, and again where a second reader outlined training patients.

    Choices that are compared are cut in the same pass over the cases, as far as they share the window.

    Raises
    ------
    InputError
        Nobody has an image in one of the phases.
    """
    key = look(spec)
    if key not in given.kept:
        alike = {look(one): one for one in (spec, *given.also) if isinstance(one, Resnet) and one.window == spec.window}
        phases = {phase: _cut_phase(list(alike.values()), given, phase) for phase in given.phases}
        given.kept.update({name: {phase: one[i] for phase, one in phases.items()} for i, name in enumerate(alike)})
    found: dict[str, Images] = given.kept[key]
    return found


def look(spec: Resnet) -> str:
    """Name what a network is shown: settings with the same name see the same images."""
    seen = {"input_px", "slices", "box_mm", "margin_mm", "masked", "window", "icc_subjects"}
    return spec.model_dump_json(include=seen) + str(spec.weights == "outlines")


def _cut_phase(specs: Sequence[Resnet], given: Given, phase: str) -> list[Images]:
    """Cut the images of one phase as each of the settings says, reading every case once."""
    view, twice = specs[0].window or given.windows[phase], given.twice(max(one.icc_subjects for one in specs))
    mm = given.spacing_mm[0]

    def make(volume: Volume) -> list[tuple[Float32Array, BoolArray | None]]:
        drawn = replace(volume, image=volume.mask.astype(np.float32))
        return [(cut(volume, s, mm), cut(drawn, s, mm) > 0.5 if s.weights == "outlines" else None) for s in specs]

    first, failed = given.inputs(phase, given.predicted, view, make)
    required(first, failed, f"No patient has an image in the {phase} phase")
    second = given.inputs(phase, twice, view, make, SECOND)[0]
    found = []
    for i, spec in enumerate(specs):
        own = [subject for subject in twice[: spec.icc_subjects] if subject in second]
        outlines = {subject: drawn for subject, made in first.items() if (drawn := made[i][1]) is not None}
        images = {subject: made[i][0] for subject, made in first.items()}
        found.append(Images(images, {subject: second[subject][i][0] for subject in own}, failed, outlines))
    return found


def starting_network(
    spec: Resnet, given: Given, images: Mapping[str, Images]
) -> tuple[resnet.ResNetFeatures, pd.DataFrame]:
    """Return the network before any outcome is seen, and how it was trained (no rows where it was not).

    ``weights: rotation`` trains it to tell by how many quarter turns an image of a training patient was turned,
    ``weights: outlines`` to read size, brightness, texture and shape of the outlined tumour off the image alone. As
    with a published file of weights, choices that differ in what the network is shown start from one network, which
    learnt on the study's own input.
    """
    key = ("start", spec.weights, spec.depth, spec.pooling, spec.normalisation, spec.pretraining_epochs)
    if key not in given.kept:
        given.kept[key] = _started(spec, given, images)
    net, history = given.kept[key]
    return net, history.copy()


def _started(spec: Resnet, given: Given, images: Mapping[str, Images]) -> tuple[resnet.ResNetFeatures, pd.DataFrame]:
    if spec.weights not in PRETRAINED:
        net = resnet.build_resnet(spec.depth, spec.weights, seed=given.seed)
        return net, pd.DataFrame(columns=result.NO_HISTORY)
    train = set(given.cohort.loc[given.cohort["cohort"] == "train", "subject"])
    shown = [(phase, subject) for phase, found in images.items() for subject in found.reader1 if subject in train]
    stack = np.stack([images[phase].reader1[subject] for phase, subject in shown])
    start = resnet.build_resnet(spec.depth, "random", seed=given.seed)
    settings = resnet.FineTuneSettings.of(spec, max_epochs=spec.pretraining_epochs, seed=given.seed)
    folder = given.folder / "resnet"
    if spec.weights == "rotation":
        tuned = resnet.pretrain_rotation(start, stack, settings, pooling=spec.pooling, checkpoints=folder)
        return tuned.net, result.tidy_history(tuned.history, "rotation", result.ACCURACY)
    outlines = np.stack([images[phase].outlines[subject] for phase, subject in shown])
    whose = [subject for _, subject in shown]
    tuned = resnet.pretrain_outlines(start, stack, outlines, whose, settings, spec.pooling, checkpoints=folder)
    return tuned.net, result.tidy_history(tuned.history, "outlines", result.LOSSES)


def fine_tuned(
    spec: Resnet, given: Given, start: resnet.ResNetFeatures, images: Mapping[str, Images], labels: pd.Series,
    folds: pd.Series | None, checkpoints: Path,
) -> tuple[dict[int | None, dict[str, resnet.ResNetFeatures]], list[pd.DataFrame]]:  # fmt: skip
    """Fine-tune one network per phase and fold on the patients of the other folds, and one on everybody.

    Returns
    -------
    dict
        Fold (None: everybody) to phase to network.
    list of DataFrame
        How each of them was trained.
    """
    settings = resnet.FineTuneSettings.of(spec, max_epochs=spec.epochs, seed=given.seed)
    numbers: list[int | None] = [] if folds is None else [int(k) for k in np.unique(folds)]
    tasks, places = [], [(fold, phase) for fold in [*numbers, None] for phase in images]
    names = [f"fold {fold}" if fold is not None else EVERYONE for fold, _ in places]
    for (fold, phase), name in zip(places, names, strict=True):
        used = labels if fold is None else labels[folds != fold]
        known = {s: images[phase].reader1[s] for s in used.index if s in images[phase].reader1}
        required(known, images[phase].failed, f"No training patient has an image in the {phase} phase")
        options = {"checkpoints": checkpoints, "description": f"{phase}, {name}", "pooling": spec.pooling}
        tasks.append((start, np.stack(list(known.values())), used.loc[list(known)].to_numpy(), settings, options))
    tuned = map_cases(_fine_tune, tasks, _processes(given), progress=False)
    nets: dict[int | None, dict[str, resnet.ResNetFeatures]] = {}
    curves = []
    for (fold, phase), name, one in zip(places, names, tuned, strict=True):
        nets.setdefault(fold, {})[phase] = one.net
        words = f"{phase}, {name}" if len(images) > 1 else name
        curves.append(result.tidy_history(one.history, words, result.ACCURACY))
    return nets, curves


def _fine_tune(task: tuple[Any, ...]) -> resnet.FineTuned:
    return resnet.fine_tune(*task[:4], **task[4])


def everybody(
    spec: Resnet, given: Given, net: resnet.ResNetFeatures, images: Mapping[str, Images], phase: str,
    cache: Path | None,
) -> pd.DataFrame:  # fmt: skip
    """Return the pooled features of a phase, computed once for choices that have the same network and images."""
    key = ("pooled", content_hash(net.state_dict()), look(spec), phase, spec.pooling, spec.normalisation)
    if key not in given.kept:
        given.kept[key] = pooled(spec, net, images[phase].reader1, cache)
    table: pd.DataFrame = given.kept[key]
    return table


def pooled(
    spec: Resnet, net: resnet.ResNetFeatures, images: Mapping[str, Float32Array], cache: Path | None
) -> pd.DataFrame:
    """Return the pooled features of each subject: subject, deep_0000 …"""
    return resnet.resnet_features(
        net, np.stack(list(images.values())), list(images), pooling=spec.pooling, normalisation=spec.normalisation,
        cache=cache,
    )  # fmt: skip


SOURCES: dict[type, Callable[[Any, Given], DeepResult]] = {
    Unet: learn_unet, Resnet: learn_resnet, Cnn3d: learn_cnn3d,
}  # fmt: skip
