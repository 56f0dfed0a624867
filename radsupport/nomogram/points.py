"""The points of one patient."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Points(Mapping[str, float]):
    """Points of one patient: a mapping of predictor to points, with their `total`."""

    by_predictor: Mapping[str, float]
    total: float

    def __getitem__(self, name: str) -> float:
        return self.by_predictor[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_predictor)

    def __len__(self) -> int:
        return len(self.by_predictor)
