"""A fabricated study of a few tiny scans, for the networks of chapter 04."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from radsupport.networks.inputs import Given
from radsupport.networks.result import DeepResult
from radsupport.networks.sources import compute, describe
from radsupport.settings.study import Study
from radsupport.study import load_study

SHAPE = (6, 20, 20)


@dataclass
class Scans:
    """Cohort and cases as chapters 01 and 02 write them; files lie under `folder`."""

    folder: Path
    cohort: pd.DataFrame
    cases: pd.DataFrame

    def labels(self, cohort: str = "train") -> pd.Series:
        """Return the labels of one cohort by subject."""
        return self.cohort[self.cohort["cohort"] == cohort].set_index("subject")["label"]

    def relabelled(self, **labels: int) -> pd.DataFrame:
        """Return the cohort with other labels of some subjects."""
        table = self.cohort.set_index("subject")
        table.loc[list(labels), "label"] = list(labels.values())
        return table.reset_index()

    def excluded(self, *subjects: str, reason: str = "mask is empty") -> pd.DataFrame:
        """Return the cases with some of them excluded by chapter 02."""
        return self.cases.assign(exclusion=np.where(self.cases["subject"].isin(subjects), reason, ""))

    def given(self, study: Study, name: str = "given", cohort: Any = None, cases: Any = None) -> Given:
        """Return what a network is given: these patients as a study looks at them, in a folder of its own."""
        cohort, cases = self.cohort if cohort is None else cohort, self.cases if cases is None else cases
        return given_of(study, cohort, cases, self.folder / "runs" / name)

    def result(self, study: Study, name: str, cohort: Any = None, cases: Any = None) -> DeepResult:
        """Run the study's network on these patients."""
        assert study.deep is not None
        return compute(study.deep, self.given(study, name, cohort, cases))

    def require_described_again(self, result: DeepResult, study: Study) -> None:
        """Require that the weights on the disk describe the patients outside training as the result does."""
        assert study.deep is not None
        folder = self.folder / "weights"
        result.write(folder, "04_deep_features")
        new = self.cohort[self.cohort["cohort"] != "train"].drop(columns="label")
        found = describe(study.deep, self.given(study, "new", new), folder / "networks.pt")
        assert set(found) == {None, *result.by_fold}
        for fold, table in found.items():
            whole = (result.features if fold is None else result.by_fold[fold]).set_index("subject")
            again = table.set_index("subject")
            pd.testing.assert_frame_equal(again, whole.loc[again.index], rtol=1e-4, atol=1e-5)

    @staticmethod
    def require_same(one: DeepResult, two: DeepResult) -> None:
        """Require the very same numbers in every table of two results."""
        pd.testing.assert_frame_equal(one.features, two.features, check_exact=True)
        pd.testing.assert_frame_equal(one.history, two.history, check_exact=True)
        assert one.by_fold.keys() == two.by_fold.keys()
        for k, table in one.by_fold.items():
            pd.testing.assert_frame_equal(table, two.by_fold[k], check_exact=True)


def given_of(study: Study, cohort: pd.DataFrame, cases: pd.DataFrame, folder: Path) -> Given:
    """Return what a network is given for a study."""
    return Given(
        cohort,
        cases,
        windows={name: phase.window for name, phase in study.phases.items()},
        phases=[name for name, phase in study.phases.items() if phase.role == "model"],
        spacing_mm=study.preprocessing.spacing_mm,
        margin_mm=study.preprocessing.margin_mm,
        folder=folder,
        folds=study.modelling.folds,
        seed=study.seed,
    )


def write_volume(path: Path, array: np.ndarray, spacing: float = 1.0) -> str:
    """Write an array (slices, rows, columns) as NIfTI and return its path."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((spacing,) * 3)
    sitk.WriteImage(image, str(path))
    return str(path)


def lesion(rng: np.random.Generator) -> np.ndarray:
    """Return a block of 4 x 8 x 8 voxels off the middle."""
    inside = np.zeros(SHAPE, dtype=np.uint8)
    row, column = rng.integers(4, 9, size=2)
    inside[1:5, row : row + 8, column : column + 8] = 1
    return inside


def one_case(
    folder: Path, subject: str, phase: str, bright: bool, seed: Sequence[int], spacing: float
) -> dict[str, Any]:
    """Write noise around 50 HU with a lesion of 90 HU, or of 230 HU where it is bright; reader 2 sees two rows less."""
    rng = np.random.default_rng(seed)
    inside = lesion(rng)
    image = rng.normal(50, 15, size=SHAPE) + np.where(inside > 0, 180 if bright else 40, 0)
    second = inside.copy()
    second[:, np.flatnonzero(inside.any(axis=(0, 2)))[:2]] = 0
    stem = folder / f"{subject}_{phase}"
    return {
        "subject": subject,
        "phase": phase,
        "image": write_volume(Path(f"{stem}_image.nii"), image.astype(np.float32), spacing),
        "mask": write_volume(Path(f"{stem}_mask.nii"), inside, spacing),
        "mask_reader2": write_volume(Path(f"{stem}_again.nii"), second, spacing),
        "exclusion": "",
    }


def fabricate(folder: Path, train: int, external: int, phases: Sequence[str], spacing: float = 1.0) -> Scans:
    """Make patients T00 ... and E00 ..., every second one with the event, which a bright lesion tells."""
    names = [f"T{i:02d}" for i in range(train)] + [f"E{i:02d}" for i in range(external)]
    cohort = pd.DataFrame({"subject": names, "cohort": ["train"] * train + ["external"] * external})
    cohort["label"] = [*(i % 2 for i in range(train)), *(i % 2 for i in range(external))]
    rows = [
        one_case(folder, row.subject, phase, row.label == 1, [number, p], spacing)
        for number, row in enumerate(cohort.itertuples())
        for p, phase in enumerate(phases)
    ]
    return Scans(folder, cohort, pd.DataFrame(rows).merge(cohort[["subject", "cohort"]], on="subject"))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder that is removed at once: checkpoints of a ResNet take many MB."""
    folder = tmp_path_factory.mktemp("scans")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def make_scans(scratch: Path) -> Callable[..., Scans]:
    """Return the function that fabricates patients: train, external, phases, spacing."""

    def make(train: int, external: int, phases: Sequence[str] = ("arterial",), spacing: float = 1.0) -> Scans:
        folder = scratch / f"scans{len(list(scratch.iterdir()))}"
        folder.mkdir()
        return fabricate(folder, train, external, phases, spacing)

    return make


@pytest.fixture(scope="session")
def study_with() -> Callable[..., Study]:
    """Return the function that gives a shipped study other settings of its network, and further sections."""

    def change(name: str, deep: dict[str, Any] | None = None, seed: int = 1, **sections: dict[str, Any]) -> Study:
        study = load_study(name)
        network = type(study.deep)
        settings = {**study.deep.model_dump(), "compare": [], "compare_on": [], "reader_seconds": {}, **(deep or {})}  # type: ignore[union-attr]
        sections = {"preprocessing": {"spacing_mm": (1.0, 1.0, 1.0)}, **sections}  # that of the fabricated scans
        parts = {key: getattr(study, key).model_copy(update=values) for key, values in sections.items()}
        return study.model_copy(update={"deep": network.model_validate(settings), "seed": seed, **parts})

    return change


@pytest.fixture(scope="session")
def swappable() -> Callable[..., tuple[str, str]]:
    """Return the function that finds two patients of one fold whose exchanged labels leave every fold as it is."""

    def find(labels: pd.Series, fold_of: Callable[[pd.Series], pd.Series]) -> tuple[str, str]:
        folds = fold_of(labels)
        for one in labels.index[labels == 0]:
            for two in labels.index[(labels == 1) & (folds == folds[one])]:
                swapped = labels.copy()
                swapped[[one, two]] = [1, 0]
                if fold_of(swapped).equals(folds):
                    return one, two
        raise LookupError("no such pair; choose another seed")

    return find


@pytest.fixture(scope="module")
def narrow_resnet() -> Iterator[None]:
    """Let ResNet-18 have four narrow blocks before its 512 features, a quarter of its weights."""
    from monai.networks.nets.resnet import ResNet

    from radsupport.networks import resnet

    def build(**options: Any) -> ResNet:
        return ResNet("basic", [1, 1, 1, 1], [8, 8, 16, 512], **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(resnet.BUILDERS, 18, build)
        yield


class Interrupted(BaseException):
    """Stands for the kill of a process: nothing in the package may catch it."""


@pytest.fixture
def kill_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], type[BaseException]]:
    """Return the function that makes training die right after its n-th checkpoint; it returns what is raised."""
    from radsupport.networks import training

    def arm(n: int) -> type[BaseException]:
        save, written = training.save_checkpoint, 0

        def save_and_die(path: Path, state: Any) -> None:
            nonlocal written
            save(path, state)
            written += 1
            if written == n:
                monkeypatch.setattr(training, "save_checkpoint", save)
                raise Interrupted

        monkeypatch.setattr(training, "save_checkpoint", save_and_die)
        return Interrupted

    return arm


@pytest.fixture
def killed(
    kill_after: Callable[[int], type[BaseException]], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[], Any], int], tuple[Any, list[int]]]:
    """Return the function that trains, dies after so many epochs and trains on: the result, and one entry per epoch."""
    from radsupport.networks import training

    def train(run: Callable[[], Any], written: int) -> tuple[Any, list[int]]:
        with pytest.raises(kill_after(written)):
            run()
        epochs: list[int] = []
        save = training.save_checkpoint
        monkeypatch.setattr(training, "save_checkpoint", lambda *given: (epochs.append(1), save(*given)))
        return run(), epochs

    return train
