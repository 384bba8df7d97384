"""Jobs on a local Ray cluster, where Ray is installed: pip install 'grounding_sdk[ray]'."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import PIL.Image
import pytest

from grounding_sdk.errors import ConfigError, UnknownModelError
from grounding_sdk.labeling import LabelingError, LabelJob, Ledger, Recipe, Task
from grounding_sdk.labeling.ray_engine import on_ray
from grounding_sdk.models.fakes import FakeDetector, FakeSegmenter

ray = pytest.importorskip("ray")


@dataclass
class Deadly(FakeDetector):
    """Kills its process at the sight of some greys: always, or once if there is a file to say so.

    Attributes:
        always: The grey that always kills.
        once: The grey that kills unless `died` is there, which it writes.
        died: A path.
    """

    always: int = -1
    once: int = -1
    died: str = ""

    def detect(self, images, queries):
        greys = {int(image.pixels[0, 0, 0]) for image in images}
        if self.once in greys and not Path(self.died).exists():
            Path(self.died).write_text("")
            os.kill(os.getpid(), signal.SIGKILL)
        if self.always in greys:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().detect(images, queries)


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """Two CPUs on this machine."""
    ray.init(
        num_cpus=2,
        num_gpus=0,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=80 * 2**20,
    )
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import it
    yield
    ray.shutdown()


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "in").mkdir()
    for index in range(12):
        PIL.Image.new("L", (9, 9), index).save(tmp_path / "in" / f"{index:02}.png")
    (tmp_path / "in" / "bad.png").write_bytes(b"no picture")
    return tmp_path / "in"


def make(photos, out, detector):
    job = photos.parent / out
    return LabelJob(photos, "cup . plate", job, detector=detector, segmenter=FakeSegmenter())


def content(job):
    return [replace(entry, seconds=0.0) for entry in Ledger.open(job)]


def test_killed_workers_lose_nothing_and_double_nothing(photos, tmp_path):
    make(photos, "alone", FakeDetector()).run()
    died = tmp_path / "died"
    detector, seen = Deadly(once=5, always=9, died=str(died)), []
    engine = on_ray(workers=2, batch_size=3)
    summary = make(photos, "ray", detector).run(lambda p: seen.append(p.done), engine=engine)
    assert died.exists()
    # A picture that always kills is a failure; its neighbours are done.
    assert (summary.done, summary.failed, seen[-1]) == (11, 2, 11)
    reasons = {head.item: head.error for head in summary.failures}
    assert "process that labelled it died" in reasons["09.png"]
    alone, together = content(tmp_path / "alone"), content(tmp_path / "ray")
    assert [e.item for e in alone] == [e.item for e in together]
    assert [e for e in alone if e.item != "09.png"] == [e for e in together if e.item != "09.png"]
    assert sum(len(p.read_bytes().splitlines()) for p in (tmp_path / "ray").glob("*.jsonl")) == 13
    again = make(photos, "ray", FakeDetector()).run(engine=engine)
    assert (again.done, again.kept, again.failed) == (0, 11, 2)


def test_a_model_that_cannot_be_loaded_is_said(photos):
    engine = on_ray()(Recipe("cup", detector="no-such-model"), "f")
    with pytest.raises(UnknownModelError, match="no-such-model"):
        list(engine([Task("a.png", str(photos / "00.png"))]))


def test_what_finds_no_room_is_refused(photos):
    with pytest.raises(LabelingError, match="3 workers need 3 CPU, the Ray cluster has 2"):
        make(photos, "ray", FakeDetector()).run(engine=on_ray(workers=3))
    with pytest.raises(ConfigError, match="at least 1"):
        on_ray(workers=0)
