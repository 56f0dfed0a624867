"""A synthetic CT cohort: volumes in HU, masks of two readers, rough outlines and a clinical sheet.

A volume shows fat, soft tissue, bowel gas, an organ, an aorta, a vein and one tumour. The tumour's size,
outline, margin, enhancement and texture depend on the patient's latent aggressiveness
(`phantom_subjects`); the scanner of the center adds blur, slice profile, noise and an HU offset.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk
from scipy import ndimage

from radsupport.cohort import phantom_shapes as shapes
from radsupport.cohort.manifest import REQUIRED, SCREENED
from radsupport.cohort.phantom_reading import read_tissue
from radsupport.cohort.phantom_shapes import Grid
from radsupport.cohort.phantom_subjects import draw_subjects
from radsupport.errors import StudyError
from radsupport.features.parallel import map_cases
from radsupport.files import written_whole
from radsupport.schema_synthetic import Anatomy, Scanner, Synthetic
from radsupport.study import Study

FAT_HU, TISSUE_HU, AIR_HU, FLUID_HU, CALCIUM_HU = -100.0, 55.0, -900.0, 12.0, 320.0
MANIFEST, CLINICAL = "manifest.csv", "clinical.csv"
HIDDEN = ("latent", "diameter_mm", "core", "calcification", "split")
WALL_MM = 1.5


@dataclass(frozen=True)
class Patient:
    """What decides the look of one synthetic patient."""

    subject: str
    center: str
    latent: float
    diameter_mm: float
    core: int
    calcification: int
    seed: tuple[int, ...]
    second_reader: bool


@dataclass(frozen=True)
class Rendered:
    """One case: its `volumes` by role, and the true mean HU of tumour, organ and aorta where a reader measures them."""

    volumes: dict[str, np.ndarray]
    tissue: dict[str, float]


def generate(study: Study, out: Path, n_jobs: int = 1, progress: bool = True) -> pd.DataFrame:
    """Write the synthetic cohort of a study and return its manifest.

    Parameters
    ----------
    study : Study
        Needs a ``synthetic:`` section.
    out : Path
        Folder for ``images/``, ``manifest.csv`` and ``clinical.csv``.
    n_jobs : int
        Patients rendered at once.
    progress : bool
        Show a progress bar.

    Returns
    -------
    pandas.DataFrame
        study, subject, center, phase, role, path (relative to `out`), exclusion. People who were screened and left
        out have a row with their reason and no file.

    Raises
    ------
    StudyError
        The study has no generator.
    """
    if study.synthetic is None:
        raise StudyError(f"Study {study.id} has no section `synthetic:`, so there is nothing to generate.")
    spec, out = study.synthetic, Path(out)
    (out / "images").mkdir(parents=True, exist_ok=True)
    subjects = draw_subjects(spec, study.seed)
    items = [(study, patient, out) for patient in _patients(subjects, spec, study.seed, study.cohorts["train"].centers)]
    written = map_cases(_write_patient, items, n_jobs=n_jobs, progress=progress)
    manifest = pd.DataFrame([row for rows, _ in written for row in rows] + screened_out(spec))
    manifest.insert(0, "study", study.id)
    manifest = manifest.reindex(columns=[*REQUIRED, "exclusion"]).fillna("")
    manifest.to_csv(out / MANIFEST, index=False)
    read_tissue(subjects, study, pd.concat([tissue for _, tissue in written]))
    sheet = subjects.drop(columns=[c for c in HIDDEN if c not in study.columns])
    if study.data.cohort:
        sheet[study.data.cohort] = subjects["split"]
    sheet.to_csv(out / CLINICAL, index=False, na_rep="NA")
    subjects[["subject", "latent"]].to_csv(out / "planted.csv", index=False)
    return manifest


def screened_out(spec: Synthetic) -> list[dict[str, str]]:
    """Return the manifest rows of people who were screened and left out, numbered within each center."""
    rows = []
    for center, drawn in spec.centers.items():
        reasons = [reason for reason, n in drawn.screened_out.items() for _ in range(n)]
        for number, reason in enumerate(reasons, 1):
            subject = f"{center}_screened_{number:03d}"
            rows.append({"subject": subject, "center": center, "role": SCREENED, "exclusion": reason})
    return rows


def _patients(subjects: pd.DataFrame, spec: Synthetic, seed: int, training: list[str]) -> list[Patient]:
    """Return the patients to draw; the second reader outlines training patients first, picked at random."""
    rng = np.random.default_rng([seed, 2])
    followed = rng.permutation(subjects.index[subjects["label"].notna()])
    first = subjects.loc[followed, "center"].isin(training).to_numpy()
    twice = set(np.concatenate([followed[first], followed[~first]])[: spec.second_reader_subjects])
    return [
        Patient(
            row["subject"], row["center"], float(row["latent"]), float(row["diameter_mm"]), int(row["core"]),
            int(row["calcification"]), (seed, 3, i), i in twice,
        )
        for i, row in enumerate(subjects.to_dict("records"))
    ]  # fmt: skip


def _write_patient(item: tuple[Study, Patient, Path]) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """Write a patient's files; return their manifest rows and the true HU of each phase."""
    study, patient, out = item
    spec = study.synthetic
    if spec is None:
        return [], pd.DataFrame()
    scanner = spec.centers[patient.center].scanner
    labelled = spec.centers[patient.center].events >= 0
    phases = list(study.phases) if labelled else [p for p, v in study.phases.items() if v.role == "model"][:1]
    rows, tissue = [], []
    for phase in phases:
        drawn = render(patient, phase, spec.anatomy, scanner)
        tissue.append({"subject": patient.subject, "phase": phase, **drawn.tissue})
        for role, array in drawn.volumes.items():
            path = Path("images") / f"{patient.subject}_{phase}_{role}.nii.gz"
            _write(array, grid_of(patient, spec.anatomy, scanner), out / path)
            row = {"subject": patient.subject, "center": patient.center, "phase": phase, "role": role}
            rows.append(row | {"path": str(path)})
    return rows, pd.DataFrame(tissue)


def grid_of(patient: Patient, anatomy: Anatomy, scanner: Scanner) -> Grid:
    """Return the patient's voxel grid: the whole field in plane, the tumour plus 14 mm along the axis."""
    pixels = round(anatomy.field_mm / scanner.pixel_mm)
    slices = int(np.ceil((1.2 * patient.diameter_mm + 28.0) / scanner.thickness_mm))
    return Grid((slices, pixels, pixels), (scanner.thickness_mm, scanner.pixel_mm, scanner.pixel_mm))


def render(patient: Patient, phase: str, anatomy: Anatomy, scanner: Scanner) -> Rendered:
    """Return one case: image (HU), mask, mask_reader2, roi_rough, samples, and the true HU of its tissues.

    ``samples`` marks tumour-free organ (1) and aorta (2), where a reader would measure them.
    """
    grid = grid_of(patient, anatomy, scanner)
    body = np.random.default_rng([*patient.seed, 1])
    breath = np.random.default_rng([*patient.seed, 2, len(phase), *phase.encode()])
    z = float(np.clip(patient.latent, -2.5, 2.5))
    centre = grid.centre + breath.normal(0, 0.7, 3)
    distance = shapes.tumour_distance(grid, centre, patient.diameter_mm, 0.06 * np.exp(0.3 * z), body)
    volume, samples = _surroundings(grid, phase, anatomy, body)
    volume = _add_tumour(volume, grid, distance, phase, anatomy, patient, z, body)
    mask = distance < 0
    samples[ndimage.binary_dilation(mask, iterations=3)] = 0
    drawn = {"image": _scan(volume, grid, scanner, breath), "mask": mask}
    drawn["roi_rough"] = shapes.rough_roi(mask, grid.spacing, breath)
    if patient.second_reader:
        drawn["mask_reader2"] = shapes.second_reader(grid, distance, breath)
    if samples.any():
        drawn["samples"] = samples
    plane = int(np.argmax(mask.sum(axis=(1, 2))))
    regions = {"tumour": mask[plane], "organ": samples[plane] == 1, "aorta": samples[plane] == 2}
    tissue = {k: float(volume[plane][r].mean()) if r.any() else float("nan") for k, r in regions.items()}
    return Rendered(drawn, tissue)


def _surroundings(grid: Grid, phase: str, anatomy: Anatomy, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return tissue around the tumour, which carries no information, and the sample regions."""
    width = grid.shape[1] * grid.spacing[1]
    lumps = grid.field(7.0, rng)
    volume = np.where(lumps > 0.3, TISSUE_HU, FAT_HU) + 6.0 * lumps
    middle, radii = grid.centre + np.array([0, 2.0, 0]), np.array([60.0, 0.30 * width, 0.42 * width])
    organ = grid.distance(middle, radii) + 1.5 * grid.field(6.0, rng)
    organ_hu = anatomy.organ[phase] * (1 + 0.04 * rng.standard_normal()) + 5.0 * grid.field(2.0, rng)
    volume = _blend(volume, organ_hu, organ, 0.8)
    samples = (organ < -4).astype(np.uint8)
    tubes = [(anatomy.aorta, [0.84, 0.5], 9.0), (anatomy.vein, [0.72, 0.78], 5.5)]
    for _ in range(anatomy.distractors):
        tubes.append((anatomy.vein, list(rng.uniform(0.15, 0.85, 2)), rng.uniform(2.0, 6.0)))
    for tissue, (y, x), radius in tubes:
        tube = grid.distance(np.array([grid.centre[0], y * width, x * width]), np.array([1e4, radius, radius]))
        volume = _blend(volume, tissue[phase] * (1 + 0.05 * rng.standard_normal()), tube, 0.5)
        samples[tube < 0] = 0
        if tissue is anatomy.aorta:
            samples[tube < -3] = 2
    gas = grid.distance(np.array([grid.centre[0], 0.12 * width, 0.25 * width]), np.array([25.0, 6.0, 11.0]))
    return _blend(volume, AIR_HU, gas, 0.8), samples


def _add_tumour(
    volume: np.ndarray, grid: Grid, distance: np.ndarray, phase: str, anatomy: Anatomy,
    patient: Patient, z: float, rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """Put the tumour in: with the latent it enhances less, is coarser, noisier and less sharply bounded."""
    enhancement = anatomy.tumour[phase] - anatomy.organ.get("unenhanced", 40.0)
    level = anatomy.organ.get("unenhanced", 40.0) + enhancement * (1 - 0.13 * z + 0.06 * rng.standard_normal())
    texture = 13.0 * np.exp(0.35 * z + 0.10 * rng.standard_normal()) * grid.field(1.6 * np.exp(0.20 * z), rng)
    # heterogeneity is mostly one of contrast uptake: a third of it is left before contrast
    inside = level + texture * np.clip(enhancement / 60.0, 0.35, 1.0)
    if patient.core:
        wall = WALL_MM if patient.core == 2 else 0.45 * patient.diameter_mm / 2
        core = distance + wall + (0.3 if patient.core == 2 else 1.0) * grid.field(3.0, rng)
        inside = _blend(inside, FLUID_HU + 4.0 * grid.field(2.0, rng), core, 1.0)
    if patient.calcification:
        inside = np.where(shapes.calcifications(grid, distance, rng), CALCIUM_HU, inside)
    return _blend(volume, inside, distance, 0.7 * float(np.exp(0.35 * z)))


def _blend(outside: Any, inside: Any, distance: np.ndarray, width_mm: float) -> np.ndarray:
    """Mix two tissues across an edge of the given width; `distance` is negative inside."""
    share = 0.5 * (1 - np.tanh(distance / width_mm))
    return outside + share * (inside - outside)


def _scan(volume: np.ndarray, grid: Grid, scanner: Scanner, rng: np.random.Generator) -> np.ndarray:
    """Render tissue as the scanner would: in-plane kernel, slice profile, correlated noise, offset."""
    profile = scanner.thickness_mm / 2.355 / grid.spacing[0]
    kernel = scanner.kernel_mm / grid.spacing[1]
    blurred = ndimage.gaussian_filter(volume.astype(np.float32), [profile, kernel, kernel], truncate=3)
    noise = ndimage.gaussian_filter(rng.standard_normal(grid.shape, dtype=np.float32), [0, 0.6, 0.6], truncate=3)
    noise *= scanner.noise_hu / float(noise.std())
    return np.clip(np.round(blurred + noise + scanner.offset_hu), -1024, 3071).astype(np.int16)


def _write(array: np.ndarray, grid: Grid, path: Path) -> None:
    image = sitk.GetImageFromArray(array if array.dtype == np.int16 else array.astype(np.uint8))
    image.SetSpacing(grid.spacing[::-1])
    with written_whole(path) as partial:
        sitk.WriteImage(image, str(partial), useCompression=True, compressionLevel=1)
