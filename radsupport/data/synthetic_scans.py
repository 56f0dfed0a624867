"""A synthetic CT cohort: volumes in HU, masks of two readers, rough outlines and a clinical sheet.

A volume shows fat, soft tissue, bowel gas, an organ, an aorta, a vein and one tumour. The tumour's size,
outline, margin, enhancement and texture depend on the patient's latent aggressiveness
(`synthetic_patients`); the scanner of the center adds blur, slice profile, noise and an HU offset. The sheet holds what
a reader would measure in the drawn tissue: true HU, with an error of reading. `mask_faults` puts each fault of a mask
into a copy of one real or synthetic case, to show what is done about it.

All arrays are indexed (z, y, x); lengths are in mm.
"""

from __future__ import annotations

import functools
import pickle
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import SimpleITK as sitk
from matplotlib.path import Path as Polygon
from scipy import ndimage

from radsupport.data.manifest import REQUIRED, SCREENED
from radsupport.data.synthetic_patients import draw_subjects, status_codes
from radsupport.errors import MaskError, RadsupportError, StudyError
from radsupport.files import file_stem, write_csv, written_whole
from radsupport.imaging.masks import MASK_POLICIES, mask_quality, warnings_of
from radsupport.imaging.reading import check_geometry, like, read_image, read_label_map, select_label, write_image
from radsupport.imaging.regions import largest_slice
from radsupport.parallel import map_cases
from radsupport.settings.parts import Measure
from radsupport.settings.study import Study
from radsupport.settings.synthetic import Anatomy, Scanner, Synthetic

READING_SD = 0.04


def read_tissue(subjects: pd.DataFrame, study: Study, tissue: pd.DataFrame) -> None:
    """Fill the columns that a reader measures in the drawn tissue: the true value, off by 4% (SD).

    Parameters
    ----------
    subjects : DataFrame
        As `draw_subjects` returns it; changed in place. A value that is missing there stays missing.
    study : Study
        Its marginals with `reads_tissue`; the columns' `measure` says what is read.
    tissue : DataFrame
        subject, phase, tumour, organ, aorta: true mean HU of each case in the plane of its largest section.

    Raises
    ------
    StudyError
        A column with `reads_tissue` has no measure of HU.
    """
    marginals = {} if study.synthetic is None else study.synthetic.marginals
    wanted = [name for name, marginal in marginals.items() if marginal.reads_tissue and name in subjects]
    hu = tissue.pivot_table(index="subject", columns="phase", dropna=False).reindex(subjects["subject"])
    for i, name in enumerate(wanted):
        true = _true_value(name, study.columns[name].measure, hu)
        error = 1 + READING_SD * np.random.default_rng([study.seed, 6, i]).standard_normal(len(subjects))
        given = subjects[name].notna().to_numpy()
        subjects[name] = np.where(given, np.round(true * error, 2), np.nan)


def _true_value(name: str, measure: Measure | None, hu: pd.DataFrame) -> np.ndarray:
    """Return one measure of every subject; NaN where a phase or a tissue is missing."""
    if measure is None or measure.what not in ("ct_ratio", "enhanced_rate"):
        what = "no `measure:`" if measure is None else f"the measure {measure.what}"
        raise StudyError(f"The column {name} reads the tissue, but has {what}; expected ct_ratio or enhanced_rate.")
    phase = measure.phases[0]
    if measure.what == "ct_ratio":
        return (hu["tumour", phase] / hu["organ", phase]).to_numpy()
    tumour, aorta = (hu[tissue, phase] - hu[tissue, measure.before] for tissue in ("tumour", "aorta"))
    return (tumour / aorta).to_numpy()


FloatVolume = np.ndarray
Box = tuple[slice, ...]
EVERYWHERE: Box = (slice(None),) * 3


@dataclass(frozen=True)
class Grid:
    """A voxel grid with its origin in the corner.

    Parameters
    ----------
    shape : tuple of int
        Voxels along z, y, x.
    spacing : tuple of float
        Voxel edge along z, y, x (mm).
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]

    @property
    def centre(self) -> np.ndarray:
        """Middle of the grid (mm)."""
        return (np.array(self.shape) - 1) * np.array(self.spacing) / 2

    def axes(self, box: Box = EVERYWHERE) -> tuple[np.ndarray, ...]:
        """Coordinates (mm) of a part of the grid along z, y, x, shaped so that they broadcast to it."""
        return np.ix_(*(np.arange(n)[part] * s for n, s, part in zip(self.shape, self.spacing, box, strict=True)))

    def around(self, centre: np.ndarray, radii: np.ndarray, reach_mm: float) -> Box:
        """Return the part of the grid that holds every voxel up to `reach_mm` outside an ellipsoid's surface."""
        far = np.asarray(radii) * (1 + reach_mm / float(np.min(radii)))
        ends = [((c - r) / step, (c + r) / step) for c, r, step in zip(centre, far, self.spacing, strict=True)]
        return tuple(slice(max(int(low), 0), max(int(high) + 2, 0)) for low, high in ends)

    def distance(self, centre: np.ndarray, radii: np.ndarray, box: Box = EVERYWHERE) -> FloatVolume:
        """Approximate signed distance (mm) from an ellipsoid's surface, negative inside."""
        scaled = sum(((axis - c) / r) ** 2 for axis, c, r in zip(self.axes(box), centre, radii, strict=True))
        return (np.sqrt(scaled) - 1) * float(np.min(radii))

    def field(self, length_mm: float, rng: np.random.Generator) -> FloatVolume:
        """Return a smooth Gaussian random field with unit variance and the given correlation length."""
        field, state = _field(self, length_mm, pickle.dumps(rng.bit_generator.state))
        rng.bit_generator.state = state
        return field


@functools.lru_cache(maxsize=8)
def _field(grid: Grid, length_mm: float, state: bytes) -> tuple[FloatVolume, Mapping[str, Any]]:
    """Return a field, and the state of the stream after it; those of a patient's last phase are had, not made again."""
    rng = np.random.Generator(np.random.PCG64())
    rng.bit_generator.state = pickle.loads(state)
    sigma = [max(length_mm / step, 0.01) for step in grid.spacing]
    white = rng.standard_normal(grid.shape, dtype=np.float32)
    noise = ndimage.gaussian_filter(white, sigma, mode="wrap", truncate=3)
    middle, sd = noise.mean(), max(float(noise.std()), 1e-9)
    noise -= middle
    noise /= sd
    noise.flags.writeable = False
    return noise, rng.bit_generator.state


def tumour_distance(
    grid: Grid, centre: np.ndarray, diameter_mm: float, lobulation: float, rng: np.random.Generator
) -> FloatVolume:
    """Signed distance (mm) from a lobulated tumour; zero is its outline.

    The surface of an ellipsoid is moved in and out by a smooth random field, `lobulation` being the
    SD of that movement as a share of the radius; the result is scaled so that the largest axial
    diameter comes out as asked for.
    """
    radius = diameter_mm / 2
    radii = radius * np.array([rng.uniform(0.75, 1.05), rng.uniform(0.8, 1.0), 1.0])
    bumps = grid.field(0.45 * radius, rng)
    distance = grid.distance(centre, radii) - lobulation * radius * bumps
    for _ in range(3):
        excess = max_axial_diameter(largest_component(distance < 0), grid.spacing) - diameter_mm
        distance = distance + excess / 2
        if abs(excess) < 0.5 * grid.spacing[1]:
            break
    inside = largest_component(distance < 0)
    return np.where((distance < 0) & ~inside, 0.5, distance)


def calcifications(grid: Grid, distance: FloatVolume, rng: np.random.Generator) -> np.ndarray:
    """Return three calcifications of 1.2 to 2.2 mm radius, deep inside the tumour (distance negative inside)."""
    deep = np.argwhere(distance < max(-2.5, 0.6 * float(distance.min())))
    drawn = np.zeros(grid.shape, dtype=bool)
    for centre in deep[rng.choice(len(deep), 3)] * np.array(grid.spacing):
        radii = np.full(3, rng.uniform(1.2, 2.2))
        box = grid.around(centre, radii, 0)
        drawn[box] |= grid.distance(centre, radii, box) < 0
    return drawn


def largest_component(mask: np.ndarray) -> np.ndarray:
    """Return the largest connected part of a mask (the mask itself if it is empty)."""
    box = filled(mask)
    labels, n = ndimage.label(mask[box])
    if n < 2:
        return mask
    largest = np.zeros_like(mask)
    largest[box] = labels == (np.argmax(np.bincount(labels.ravel())[1:]) + 1)
    return largest


def filled(mask: np.ndarray, more: int = 0) -> Box:
    """Return the part of a grid that holds all of a mask, and so many voxels more on every side where there are any."""
    found = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    return tuple(slice(max(int(f[0]) - more, 0), int(f[-1]) + 1 + more) if len(f) else slice(0, 0) for f in found)


def max_axial_diameter(mask: np.ndarray, spacing: tuple[float, float, float]) -> float:
    """Largest distance (mm) between two voxel centres of one axial slice, plus one pixel."""
    best, box = 0.0, filled(mask)
    corner = [box[1].start, box[2].start]
    for plane in mask[box]:
        edge = plane & ~ndimage.binary_erosion(plane)
        points = (np.argwhere(edge) + corner) * np.array(spacing[1:])
        gaps = np.linalg.norm(points[:, None] - points[None], axis=-1)
        best = max(best, float(gaps.max(initial=-np.inf)) + spacing[1])
    return best


def second_reader(grid: Grid, distance: FloatVolume, rng: np.random.Generator) -> np.ndarray:
    """Return the outline another reader would draw: off by a bias of 0.3 mm and waves of 0.5 mm SD."""
    waves = 0.5 * grid.field(5.0, rng) + rng.normal(0, 0.3)
    mask = largest_component(distance + waves < 0)
    return mask if mask.any() else distance < 0


def rough_roi(mask: np.ndarray, spacing: tuple[float, float, float], rng: np.random.Generator) -> np.ndarray:
    """Return quadrilaterals around the tumour on its top, largest and bottom slice, all else empty.

    Song 2021, Methods, "DLR": the reader draws a quadrilateral that contains the tumour area, without
    strict criteria; here each corner lies 1 to 5 mm outside the section's bounding box.
    """
    areas = mask.sum(axis=(1, 2))
    filled = np.flatnonzero(areas)
    drawn = np.zeros_like(mask)
    for z in {int(filled[0]), int(np.argmax(areas)), int(filled[-1])}:
        rows, columns = np.flatnonzero(mask[z].any(axis=1)), np.flatnonzero(mask[z].any(axis=0))
        box = np.array([[rows[0], columns[0]], [rows[0], columns[-1]], [rows[-1], columns[-1]], [rows[-1], columns[0]]])
        outward = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
        corners = box + outward * rng.uniform(1.0, 5.0, size=(4, 2)) / np.array(spacing[1:])
        inside = Polygon(corners).contains_points(np.argwhere(np.ones(mask.shape[1:], dtype=bool)))
        drawn[z] = inside.reshape(mask.shape[1:]) | mask[z]
    return drawn


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


def generate(study: Study, out: Path, n_jobs: int = 1) -> pd.DataFrame:
    """Write the synthetic cohort of a study and return its manifest.

    Parameters
    ----------
    study : Study
        Needs a ``synthetic:`` section.
    out : Path
        Folder for ``images/``, ``manifest.csv`` and ``clinical.csv``.
    n_jobs : int
        Patients rendered at once.

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
    written = map_cases(_write_patient, items, n_jobs=n_jobs)
    manifest = pd.DataFrame([row for rows, _ in written for row in rows] + screened_out(spec))
    manifest.insert(0, "study", study.id)
    manifest = manifest.reindex(columns=[*REQUIRED, "exclusion"]).fillna("")
    write_csv(manifest, out / MANIFEST)
    read_tissue(subjects, study, pd.concat([tissue for _, tissue in written]))
    sheet = subjects.drop(columns=[c for c in HIDDEN if c not in study.columns])
    if study.data.cohort:
        sheet[study.data.cohort] = subjects["split"]
    if spec.competing_share and study.endpoint.survival is not None:
        sheet["event"] = status_codes(subjects, spec, study.endpoint.survival, study.seed)
    with written_whole(out / CLINICAL) as partial:
        sheet.to_csv(partial, index=False, na_rep="NA")
    write_csv(subjects[["subject", "latent"]], out / "planted.csv")
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
    looks = subjects[["subject", "center", "latent", "diameter_mm", "core", "calcification"]]
    rows: Any = looks.to_dict("records")
    return [Patient(**row, seed=(seed, 3, i), second_reader=i in twice) for i, row in enumerate(rows)]


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
            path = Path("images") / f"{file_stem(patient.subject, phase)}_{role}.nii.gz"
            _write(array, grid_of(patient, spec.anatomy, scanner), out / path)
            where = {"phase": phase, "role": role, "path": str(path)}
            rows.append({"subject": patient.subject, "center": patient.center, **where})
    return rows, pd.DataFrame(tissue)


def grid_of(patient: Patient, anatomy: Anatomy, scanner: Scanner) -> Grid:
    """Return the patient's voxel grid: the whole field in plane, the tumour plus 14 mm along the axis."""
    pixels = round(anatomy.field_mm / scanner.pixel_mm)
    apart = scanner.interval_mm or scanner.thickness_mm
    slices = int(np.ceil((1.2 * patient.diameter_mm + 28.0) / apart))
    return Grid((slices, pixels, pixels), (apart, scanner.pixel_mm, scanner.pixel_mm))


def render(patient: Patient, phase: str, anatomy: Anatomy, scanner: Scanner) -> Rendered:
    """Return one case: image (HU), mask, mask_reader2, roi_rough, samples, and the true HU of its tissues.

    ``samples`` marks tumour-free organ (1) and aorta (2), where a reader would measure them.
    """
    grid = grid_of(patient, anatomy, scanner)
    body = np.random.default_rng([*patient.seed, 1])
    breath = np.random.default_rng([*patient.seed, 2, len(phase), *phase.encode()])
    z = float(np.clip(patient.latent, -2.5, 2.5))
    centre = grid.centre + breath.normal(0, 0.7, 3)
    distance = tumour_distance(grid, centre, patient.diameter_mm, 0.06 * np.exp(0.3 * z), body)
    volume, samples = _surroundings(grid, phase, anatomy, body)
    _add_tumour(volume, grid, distance, phase, anatomy, patient, z, body)
    mask = distance < 0
    near = filled(mask, 3)
    samples[near][ndimage.binary_dilation(mask[near], iterations=3)] = 0
    drawn = {"image": _scan(volume, grid, scanner, breath), "mask": mask}
    drawn["roi_rough"] = rough_roi(mask, grid.spacing, breath)
    if patient.second_reader:
        drawn["mask_reader2"] = second_reader(grid, distance, breath)
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
    _mix(volume, organ_hu, organ, 0.8)
    samples = (organ < -4).astype(np.uint8)
    tubes = [(anatomy.aorta, [0.84, 0.5], 9.0), (anatomy.vein, [0.72, 0.78], 5.5)]
    for _ in range(anatomy.distractors):
        tubes.append((anatomy.vein, list(rng.uniform(0.15, 0.85, 2)), rng.uniform(2.0, 6.0)))
    for tissue, (y, x), radius in tubes:
        where = np.array([grid.centre[0], y * width, x * width]), np.array([1e4, radius, radius])
        box = grid.around(*where, REACH * 0.5)
        tube = grid.distance(*where, box)
        _mix(volume[box], tissue[phase] * (1 + 0.05 * rng.standard_normal()), tube, 0.5)
        samples[box][tube < 0] = 0
        if tissue is anatomy.aorta:
            samples[box][tube < -3] = 2
    where = np.array([grid.centre[0], 0.12 * width, 0.25 * width]), np.array([25.0, 6.0, 11.0])
    box = grid.around(*where, REACH * 0.8)
    _mix(volume[box], AIR_HU, grid.distance(*where, box), 0.8)
    return volume, samples


def _add_tumour(
    volume: np.ndarray, grid: Grid, distance: np.ndarray, phase: str, anatomy: Anatomy,
    patient: Patient, z: float, rng: np.random.Generator,
) -> None:  # fmt: skip
    """Put the tumour in: with the latent it enhances less, is coarser, noisier and less sharply bounded."""
    enhancement = anatomy.tumour[phase] - anatomy.organ.get("unenhanced", 40.0)
    level = anatomy.organ.get("unenhanced", 40.0) + enhancement * (1 - 0.13 * z + 0.06 * rng.standard_normal())
    coarse, edge = 13.0 * np.exp(0.35 * z + 0.10 * rng.standard_normal()), 0.7 * float(np.exp(0.35 * z))
    box = filled(distance < REACH * edge)
    near = distance[box]
    texture = coarse * grid.field(1.6 * np.exp(0.20 * z), rng)[box]
    # heterogeneity is mostly one of contrast uptake: a third of it is left before contrast
    inside = level + texture * np.clip(enhancement / 60.0, 0.35, 1.0)
    if patient.core:
        wall = WALL_MM if patient.core == 2 else 0.45 * patient.diameter_mm / 2
        core = near + wall + (0.3 if patient.core == 2 else 1.0) * grid.field(3.0, rng)[box]
        _mix(inside, FLUID_HU + 4.0 * grid.field(2.0, rng)[box], core, 1.0)
    if patient.calcification:
        inside[calcifications(grid, distance, rng)[box]] = CALCIUM_HU
    _mix(volume[box], inside, near, edge)


REACH = 20.0  #: widths of an edge beyond which nothing of the inside is left: 1 - tanh(20) is 0 in floating point


def _mix(outside: np.ndarray, inside: Any, distance: np.ndarray, width_mm: float) -> None:
    """Mix a tissue into another, in place, across an edge of the given width; `distance` is negative inside."""
    share = 0.5 * (1 - np.tanh(distance / width_mm))
    share *= inside - outside
    outside += share


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
    write_image(image, path)


def faulty_masks(image: sitk.Image, mask: sitk.Image) -> dict[str, sitk.Image]:
    """Return one copy of a mask per fault, by the condition's name in `MASK_POLICIES`.

    Parameters
    ----------
    image, mask : SimpleITK.Image
        One sound case on one grid.
    """
    drawn, z = sitk.GetArrayFromImage(mask) != 0, largest_slice(mask)
    rows, columns = np.nonzero(drawn[z])
    row, column = int(np.median(rows)), int(np.median(columns))
    empty, labels, one, section, islands, hole, border = (drawn.astype(np.uint16) for _ in range(7))
    empty[:] = 0
    labels[z:] *= 2
    one[:] = 0
    one[z, row, column] = 1
    section[:z], section[z + 1 :] = 0, 0
    islands[z, 1 if rows.min() > 3 else -2, 1] = 1
    hole[z, row, column] = 0
    border[z, : row + 1, column] = 1
    edited = {
        "empty mask": empty, "several labels": labels, "one voxel": one, "one slice": section,
        "several islands": islands, "holes": hole, "touches the image border": border,
    }  # fmt: skip
    return {condition: like(array, image) for condition, array in edited.items()} | _moved(image, drawn)


def _moved(image: sitk.Image, drawn: npt.NDArray) -> dict[str, sitk.Image]:
    """Return copies of a mask whose header differs from the image's."""
    sound = like(drawn.astype(np.uint16), image)
    spacing, origin = np.array(image.GetSpacing()), np.array(image.GetOrigin())
    rounded, apart, outside = (sitk.Image(sound) for _ in range(3))
    rounded.SetOrigin((origin + 1e-3 * spacing).tolist())
    apart.SetSpacing((spacing * [1.1, 1.0, 1.0]).tolist())
    outside.SetOrigin((origin + spacing * np.array(image.GetSize())).tolist())
    return {
        "geometry differs by rounding": rounded,
        "axes flipped or mask cropped": sitk.Flip(sound, [True, False, False]),
        "geometry really differs": apart,
        "partly or fully outside the image": outside,
    }


def mask_faults(case: Mapping[Any, Any]) -> pd.DataFrame:
    """Return what happens to one case with each fault.

    Parameters
    ----------
    case : mapping
        Row of the table `cases` with ``source_image`` and ``source_mask``.

    Returns
    -------
    pandas.DataFrame
        condition, policy (refuse, warn, repair), what_happens, and what the checks said about this case's faulty
        copy.
    """
    image = read_image(case["source_image"])
    sound = check_geometry(image, select_label(read_label_map(case["source_mask"])), "mask").mask
    said = {condition: _said(image, faulty) for condition, faulty in faulty_masks(image, sound).items()}
    said["fractional values"] = _said_of_fractions(sound)
    return MASK_POLICIES.assign(said=[said[condition] for condition in MASK_POLICIES["condition"]])


def _said(image: sitk.Image, faulty: sitk.Image) -> str:
    """Return what the checks say about one faulty mask."""
    try:
        report = check_geometry(image, select_label(faulty), "the mask")
        quality = mask_quality(image, report.mask)
    except RadsupportError as error:
        return f"refused: {_short(error)}"
    if quality["one_voxel"]:
        return "refused: the mask has a single voxel"
    if report.problems:
        return "repaired: " + "; ".join(problem.what for problem in report.problems)
    found = warnings_of(quality)
    return f"warned: {'; '.join(found)}" if found else "nothing found"


def _said_of_fractions(sound: sitk.Image) -> str:
    """Return what the reader says about a map of probabilities; it looks at the file before anything is a mask."""
    blurred = sitk.DiscreteGaussian(sitk.Cast(sound, sitk.sitkFloat32), [1.0, 1.0, 1.0])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probabilities.nii.gz"
        sitk.WriteImage(blurred, str(path))
        try:
            read_label_map(path)
        except MaskError as error:
            return f"refused: {_short(error)}"
    return "nothing found"


def _short(error: RadsupportError) -> str:
    return error.problems[0].what if error.problems else error.message.split(". ")[0]
