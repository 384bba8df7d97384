"""Why a referring expression means what was chosen, as a picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import supervision as sv

from grounding_sdk.errors import ConfigError
from grounding_sdk.evidence import Evidence
from grounding_sdk.grounding import Grounding
from grounding_sdk.query import Query
from grounding_sdk.viz.annotate import annotate, fitting_font
from grounding_sdk.viz.palette import FADED, INK, PAPER, Color
from grounding_sdk.viz.text import draw_text, line_height, shortened

CHOSEN: Color = (0, 158, 96)
LEFT_OUT: Color = (150, 150, 150)


def explain(
    grounding: Grounding, target: int = 0, *, candidates: int = 6, min_side: int = 480
) -> np.ndarray:
    """Draws a target's candidates, and below the picture what each scored on each condition.

    Args:
        grounding: The result of a pipeline with a `Relate` stage.
        target: Which of the query's targets.
        candidates: How many to show, best first; those that were chosen are always shown.
        min_side: A smaller picture is enlarged to this shorter side, in pixels.

    Returns:
        RGB uint8 (H, W, 3).

    Raises:
        ConfigError: If there is no such target, or it was not judged.
    """
    if not 0 <= target < len(grounding.evidence):
        raise ConfigError(
            f"expected the number of a target that was judged, got {target} of "
            f"{len(grounding.evidence)}: ask a referring expression, such as 'the largest dog'"
        )
    evidence = grounding.evidence[target]
    shown = max(candidates, int(evidence.chosen.sum()))
    drawn = replace(
        grounding,
        query=Query.of(["chosen", "left out"]),
        detections=_candidates(evidence, shown),
        evidence=(),
    )
    picture = annotate(drawn, min_side=min_side, colors={"chosen": CHOSEN, "left out": LEFT_OUT})
    return np.vstack([picture, _table(evidence, shown, picture.shape[1], fitting_font(drawn))])


def _candidates(evidence: Evidence, shown: int) -> sv.Detections:
    """The candidates as detections whose names are their ranks and whose scores the totals."""
    number = min(shown, len(evidence.total))
    return sv.Detections(
        xyxy=evidence.xyxy[:number].astype(np.float32),
        confidence=evidence.total[:number],
        class_id=np.where(evidence.chosen[:number], 0, 1),
        data={"class_name": np.array([f"{rank}." for rank in range(1, number + 1)], str)},
    )


def _table(evidence: Evidence, shown: int, width: int, font_size: int) -> np.ndarray:
    """The scores, one line a candidate, on a strip of the picture's width."""
    step, left = line_height(font_size) + font_size // 3, font_size
    rows = [
        [f"{rank}.", *(f"{score:.2f}" for score in scores), f"{total:.3f}"]
        for rank, (scores, total) in enumerate(
            zip(evidence.scores[:shown], evidence.total[:shown], strict=True), start=1
        )
    ]
    notes = evidence.notes if rows else (f"no {evidence.target.phrase} was found", *evidence.notes)
    lines = 1 + bool(rows) + len(rows) + len(notes)
    strip = np.full((lines * step + font_size, width, 3), PAPER, np.uint8)
    title = evidence.target.text or str(evidence.target)
    room = width - 2 * left
    draw_text(strip, shortened(title, font_size, room), left, font_size // 2, font_size, INK)
    y = font_size // 2 + step
    columns = ["", *evidence.names, "total"]
    wide = (width - 4 * left) // max(len(columns) - 1, 1)
    for index, row in enumerate([columns, *rows] if rows else []):
        chosen = index > 0 and bool(evidence.chosen[index - 1])
        color = FADED if index == 0 else CHOSEN if chosen else INK
        for column, text in enumerate(row):
            x = left if column == 0 else 3 * left + (column - 1) * wide
            draw_text(strip, shortened(text, font_size, wide - left // 2), x, y, font_size, color)
        y += step
    for note in notes:
        draw_text(strip, shortened(note, font_size, room), left, y, font_size, FADED)
        y += step
    return strip
