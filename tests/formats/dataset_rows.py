"""A small dataset with all that annotations can be, made by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image

from grounding_sdk.formats import Annotated, Mask, Object

SIZE = (30, 40)
LABELS = ("dog", "hot dog", "犬", "unused")


def mask(*slices):
    """The pixels of slices [rows, columns]; each changes those of the ones before."""
    dense = np.zeros(SIZE, bool)
    for one in slices:
        dense[one] = ~dense[one]
    return Mask(dense)


RING = mask(np.s_[5:15, 10:20], np.s_[8:12, 13:17])
PARTS = mask(np.s_[20:22, 25:30], np.s_[24:25, 25:40], np.s_[27:30, 3:5], np.s_[26:27, 2:3])
HOLES_IN_PARTS = mask(np.s_[1:9, 1:9], np.s_[2:4, 2:4], np.s_[5:8, 3:8], np.s_[6:7, 4:5])
CORNER = mask(np.s_[29:30, 39:40])
LINE = mask(np.s_[3:4, 0:40])
EVERYTHING = mask(np.s_[:, :])
EMPTY = mask()


def marked(label, its_mask, **fields):
    return Object(label, its_mask.box, its_mask, **fields)


ROWS = {
    "nothing": Annotated("empty.jpg", SIZE),
    "hole": Annotated("hole.jpg", SIZE, (marked("dog", RING),)),
    "parts": Annotated("parts.jpg", SIZE, (marked("dog", PARTS),)),
    "parts with holes": Annotated("both.jpg", SIZE, (marked("hot dog", HOLES_IN_PARTS),)),
    "one pixel": Annotated("pixel.jpg", SIZE, (marked("dog", CORNER),)),
    "a line": Annotated("line.jpg", SIZE, (marked("dog", LINE),)),
    "everything": Annotated("all.jpg", SIZE, (marked("dog", EVERYTHING),)),
    "box": Annotated("box.jpg", SIZE, (Object("dog", (3.0, 4.0, 20.0, 9.0), score=0.5),)),
    "parts of a pixel": Annotated("sub.jpg", SIZE, (Object("dog", (3.25, 4.5, 20.125, 9.75)),)),
    "an empty mask": Annotated("no.jpg", SIZE, (Object("dog", (3.0, 4.0, 20.0, 9.0), EMPTY),)),
    "unicode": Annotated("été/crème brûlée 犬.jpg", SIZE, (marked("犬", RING),)),
    "spaces and dots": Annotated("my  pictures/a.b c.jpg", SIZE, (marked("hot dog", RING),)),
    "images in the name": Annotated("images/x.jpg", SIZE, (marked("dog", RING),)),
    "many": Annotated(
        "many.png",
        SIZE,
        (
            marked("dog", RING, score=0.875, mask_score=0.5, phrase="a pup"),
            Object("hot dog", (0.0, 0.0, 40.0, 30.0), score=0.25, phrase='hot <dog> & "bun"'),
            marked("dog", PARTS, score=0.5),
            marked("犬", RING, score=0.125),
        ),
    ),
    "a crowd": Annotated(
        "crowd.jpg", SIZE, (marked("dog", PARTS, iscrowd=True), marked("hot dog", CORNER))
    ),
}


def with_picture(row, folder):
    """The row with a picture of its size in a folder, and its place as `source`."""
    path = Path(folder) / row.file_name
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = row.size
    PIL.Image.new("RGB", (width, height), "white").save(path)
    return replace(row, source=str(path))
