"""Where a study's files lie: one place that knows the folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StudyPaths:
    """Folders of one study under the project root.

    Parameters
    ----------
    study : str
        Id of the study.
    root : Path
        Project root; notebooks run there.
    """

    study: str
    root: Path = Path()

    @property
    def results(self) -> Path:
        """Everything the chapters write."""
        return self.root / "results" / self.study

    @property
    def data(self) -> Path:
        """Inputs: fetched public files or the synthetic cohort."""
        return self.root / "data" / self.study

    @property
    def figures(self) -> Path:
        """Vector files for print."""
        return self.results / "figures"

    @property
    def cache(self) -> Path:
        """Results kept under the hash of their inputs."""
        return self.results / "cache"

    @property
    def images(self) -> Path:
        """Preprocessed images and masks of chapter 02."""
        return self.results / "images"
