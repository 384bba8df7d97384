"""One result as plain JSON types."""

from __future__ import annotations

from typing import Any

from grounding_sdk.formats.groundings import objects
from grounding_sdk.formats.rle import rle_of
from grounding_sdk.grounding import Grounding


def grounding_dict(grounding: Grounding, *, masks: bool = False) -> dict[str, Any]:
    """Returns a result as plain JSON types: `image`, `query`, and one entry in `objects` each.

    Where the query had expressions, `evidence` says for each what its candidates scored.

    An object has `label`, `phrase`, the detector's `score`, the segmenter's `mask_score` (None
    where there is none) and `box` [x1, y1, x2, y2] in pixels.

    Args:
        grounding: The result.
        masks: Whether to add each object's mask as `segmentation`: COCO's compressed RLE, None
            where there is no mask.
    """
    image, query = grounding.image, grounding.query
    entries = []
    for found in objects(grounding, masks=masks):
        entry: dict[str, Any] = {
            "label": found.label,
            "phrase": found.phrase,
            "score": found.score,
            "mask_score": found.mask_score,
            "box": [round(value, 2) for value in found.box],
        }
        if masks:
            entry["segmentation"] = None if found.mask is None else rle_of(found.mask, image.size)
        entries.append(entry)
    result: dict[str, Any] = {
        "image": {"source": image.source, "width": image.width, "height": image.height},
        "query": {
            "source": query.source,
            "phrases": [
                {"text": p.text, "label": p.label, "threshold": p.threshold, "role": p.role}
                for p in query
            ],
        },
        "objects": entries,
    }
    if grounding.evidence:
        result["evidence"] = [evidence.to_dict() for evidence in grounding.evidence]
    return result
