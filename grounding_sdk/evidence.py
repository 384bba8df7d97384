"""Why the boxes of a referring expression were chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from grounding_sdk.target import Target


@dataclass(frozen=True, eq=False)
class Evidence:
    """What each candidate of a target scored, best first.

    Attributes:
        target: The expression.
        xyxy: (M, 4) float32, the candidates' boxes in pixels.
        names: What was judged, C of them: the phrase, as the detector scored it, then each
            condition.
        scores: (M, C) float32 in [0, 1].
        total: (M,) float32, their product.
        chosen: (M,) bool.
        notes: What a reader should know: anchors that were not found, words not understood.
    """

    target: Target
    xyxy: np.ndarray
    names: tuple[str, ...]
    scores: np.ndarray
    total: np.ndarray
    chosen: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def margin(self) -> float:
        """How sure the choice is: 1 - (best total left out / least total chosen), in [0, 1].

        1 if nothing was left out, 0 if nothing was chosen.
        """
        if not self.chosen.any():
            return 0.0
        left_out = self.total[~self.chosen]
        least = float(self.total[self.chosen].min())
        return 1.0 if not len(left_out) else max(0.0, 1 - float(left_out.max()) / max(least, 1e-9))

    def to_dict(self) -> dict[str, Any]:
        """Returns it as plain JSON types."""
        return {
            "text": self.target.text or str(self.target),
            "margin": round(self.margin, 4),
            "candidates": [
                {
                    "box": [round(float(value), 2) for value in box],
                    "scores": dict(zip(self.names, np.round(row, 4).tolist(), strict=True)),
                    "total": round(float(total), 6),
                    "chosen": bool(chosen),
                }
                for box, row, total, chosen in zip(
                    self.xyxy, self.scores.astype(float), self.total, self.chosen, strict=True
                )
            ],
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        count = self.target.count
        wanted = (
            "all that fit" if count is None else f"the best {count}" if count > 1 else "the best"
        )
        lines = [f"{self.target.text or self.target} ({wanted})"]
        if len(self.total):
            headers = ["", "box", *self.names, "total"]
            rows = [
                ["->" if chosen else "", _box(box), *(f"{s:.2f}" for s in row), f"{total:.3f}"]
                for chosen, box, row, total in zip(
                    self.chosen, self.xyxy, self.scores, self.total, strict=True
                )
            ]
            widths = [max(len(row[i]) for row in [headers, *rows]) for i in range(len(headers))]
            lines += [_line(row, widths) for row in [headers, *rows]]
            lines.append(f"  margin over the runner-up: {self.margin:.2f}")
        else:
            lines.append(f"  no {self.target.phrase} was found")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


def _box(box: np.ndarray) -> str:
    return ",".join(f"{value:.0f}" for value in box)


def _line(row: list[str], widths: list[int]) -> str:
    return (
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    )
