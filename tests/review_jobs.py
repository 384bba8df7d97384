"""A labelling job of small drawn pictures, for what is told about reviewing one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image

from grounding_sdk.formats import Annotated, Mask, Object
from grounding_sdk.labeling import HUMAN, Entry, Ledger

SIZE = (90, 120)
EVIL = '<script>document.title="owned"</script>"&\' ünï \U0001f600'
COLORS = {"dog": (200, 60, 60), "cat": (60, 90, 200), EVIL: (60, 160, 90)}


def disc(x, y, radius):
    rows, columns = np.ogrid[: SIZE[0], : SIZE[1]]
    return Mask((rows - y) ** 2 + (columns - x) ** 2 <= radius**2)


def thing(label, x, y, radius=15, score=0.9, **fields):
    mask = disc(x, y, radius)
    return Object(label, mask.box, mask, score, **fields)


def drawn(path, objects):
    """Writes a picture in which the objects' masks have their labels' colours."""
    pixels = np.full((*SIZE, 3), 235, np.uint8)
    for each in objects:
        pixels[each.mask.dense(SIZE)] = COLORS[each.label]
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path)


def job_entries(folder):
    """Six pictures: a good one, doubtful ones, one of a person, one of nothing; and a failure."""
    shown = {
        "a good one.png": (thing("dog", 60, 45), thing("cat", 25, 60, 12, 0.8)),
        "low/score.png": (thing("dog", 40, 40, score=0.12),),
        "rivals.png": (thing("dog", 60, 45), thing("cat", 60, 45, score=0.85)),
        f"{EVIL.replace('/', '')}.png": (thing(EVIL, 30, 30, score=0.7, phrase=EVIL),),
        "by a person.png": (thing("cat", 70, 40, score=None),),
        "nothing.png": (),
    }
    for name, objects in shown.items():
        path = folder / "pictures" / name
        drawn(path, objects)
        row = Annotated(name, SIZE, objects, source=str(path))
        kind = HUMAN if name == "by a person.png" else "f1"
        yield Entry(name, f"sha {name}", kind, "done", row)
    yield Entry("broken <b>.png", "", "f1", "failed", None, "it is <i>empty</i>")


def small_job(folder: Path, name: str = "job & co") -> Ledger:
    """Writes the job's ledger."""
    (folder / name).mkdir(parents=True)
    ledger = Ledger.open(folder / name)
    with ledger.locked():
        ledger.append(job_entries(folder))
    return ledger
