from __future__ import annotations

import json
import os
import shutil
import tracemalloc
from dataclasses import dataclass, replace

import numpy as np
import PIL.Image
import pytest

from grounding_sdk.errors import ConfigError, UnknownModelError
from grounding_sdk.formats import Annotated, Object, write_coco
from grounding_sdk.labeling import (
    HUMAN,
    Entry,
    Item,
    JobBusyError,
    LabelingError,
    LabelJob,
    Ledger,
    export_job,
    job_labels,
)
from grounding_sdk.models.fakes import FakeDetector, FakeSegmenter

QUERY = {"labels": {"cup": ["cup", "mug"], "plate": None}}


def picture(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 32, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(path)


@pytest.fixture
def photos(tmp_path):
    for index in range(7):
        picture(tmp_path / "in" / f"{index % 2}/{index}.png", index)
    return tmp_path / "in"


@dataclass
class Counting(FakeDetector):
    """Counts the images that it is shown, and fails when told to."""

    seen: int = 0
    fails: object = None

    def detect(self, images, queries):
        if self.fails and any(self.fails(image) for image in images):
            raise RuntimeError("the model broke")
        self.seen += len(images)
        return super().detect(images, queries)


def make(photos, detector=None, query=QUERY, **options):
    out = options.pop("out", photos.parent / "job")
    detector = detector or Counting()
    return LabelJob(photos, query, out, detector=detector, segmenter=FakeSegmenter(), **options)


def content(job):
    return [replace(entry, seconds=0.0) for entry in Ledger.open(job)]


def test_every_image_is_labelled_once(photos):
    detector = Counting()
    job = make(photos, detector)
    seen = []
    summary = job.run(lambda progress: seen.append((progress.done, progress.left)))
    assert (summary.total, summary.done, summary.failed, summary.left) == (7, 7, 0, 0)
    assert seen == [(4, 3), (7, 0)]
    entries = list(job.ledger)
    assert [entry.item for entry in entries] == sorted(f"{i % 2}/{i}.png" for i in range(7))
    assert all(entry.row.source == str(photos / entry.item) for entry in entries)
    assert all(o.mask is not None for entry in entries for o in entry.row.objects)
    assert summary.objects == job.ledger.objects()
    assert set(summary.objects) == {"cup", "plate"}
    again = make(photos, detector).run()
    assert (again.done, again.kept, detector.seen) == (0, 7, 7)


def test_only_what_is_new_or_changed_is_labelled(photos):
    make(photos).run()
    picture(photos / "new.png", 50)
    picture(photos / "0/2.png", 51)
    os.utime(photos / "0/4.png", (1, 1))  # touched: its content is known
    (photos / "1/1.png").rename(photos / "moved.png")
    detector = Counting()
    summary = make(photos, detector).run()
    assert (detector.seen, summary.done, summary.kept) == (2, 4, 4)
    ledger = make(photos).ledger
    assert ledger.get("moved.png").row.objects == ledger.get("1/1.png").row.objects
    assert ledger.get("moved.png").row.source == str(photos / "moved.png")
    again = make(photos, detector).run()
    assert (detector.seen, again.kept) == (2, 8)


def test_a_copy_is_labelled_like_its_original(photos):
    shutil.copy(photos / "0/0.png", photos / "z.png")
    job = make(photos, batch_size=1)
    job.run()
    first, second = job.ledger.get("0/0.png"), job.ledger.get("z.png")
    assert first.sha256 == second.sha256
    assert first.row.objects == second.row.objects


def test_it_goes_on_where_it_was_stopped(photos, tmp_path):
    make(photos, out=tmp_path / "whole").run()

    def stop(progress):
        raise KeyboardInterrupt

    detector = Counting()
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            make(photos, detector, batch_size=2).run(stop)
    assert detector.seen == 6
    summary = make(photos, detector, batch_size=2).run()
    assert (detector.seen, summary.done, summary.kept) == (7, 1, 6)
    assert content(tmp_path / "job") == content(tmp_path / "whole")


def test_a_limit_ends_a_run(photos):
    summary = make(photos).run(limit=3)
    assert (summary.done, summary.left) == (3, 4)
    assert make(photos).run(limit=3).left == 1


def test_a_failure_is_a_row_and_is_retried_when_asked(photos):
    (photos / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n no more")
    detector = Counting(fails=lambda image: image.source.endswith("3.png"))
    summary = make(photos, detector).run()
    assert (summary.done, summary.failed) == (6, 2)
    reasons = {head.item: head.error for head in summary.failures}
    assert reasons["1/3.png"] == "stage 'detect' failed: RuntimeError: the model broke"
    assert "Truncated File Read" in reasons["bad.png"]
    detector.fails, detector.seen = None, 0
    assert make(photos, detector).run().failed == 2
    assert detector.seen == 0
    retried = make(photos, detector).run(retry_failed=True)
    assert (retried.done, retried.failed, detector.seen) == (1, 1, 1)
    picture(photos / "bad.png", 9)  # mended, so it is another file
    assert make(photos, detector).run().failed == 0


def test_scores_that_are_no_numbers_are_a_failure(photos):
    class Broken(FakeDetector):
        def detect(self, images, queries):
            results = super().detect(images, queries)
            for each in results:
                each.xyxy[:] = np.nan
            return results

    summary = make(photos, Broken(), merge=None).run()
    assert summary.failed == 7
    assert summary.failures[0].error


@pytest.mark.parametrize(
    "options, message",
    [
        ({"query": "cup"}, "query.phrases was"),
        ({"threshold": 0.5}, "threshold was null, is 0.5"),
        ({"detector": Counting(name="other")}, 'detector.name was "fake", is "other"'),
        ({"merge": None}, "merge.method was"),
    ],
)
def test_another_configuration_needs_another_folder_or_a_word(options, message, photos):
    make(photos).run(limit=2)
    with pytest.raises(LabelingError, match=message):
        make(photos, **options).run()
    summary = make(photos, **options).run(reconfigure=True)
    assert (summary.done, summary.kept) == (7, 0)
    assert len({entry.fingerprint for entry in make(photos).ledger}) == 1
    assert make(photos, **options).run().kept == 7


def test_another_source_needs_another_folder(photos):
    make(photos).run()
    with pytest.raises(LabelingError, match="source was"):
        make(photos / "0", out=photos.parent / "job").run()


def test_paths_that_are_no_text(photos):
    odd = photos.rename(photos.parent / os.fsdecode(b"\xff"))
    shutil.copy(odd / "0/0.png", odd / os.fsdecode(b"e\xe9.png"))
    job = make(odd)
    assert job.run().done == 8
    assert job.ledger.get("e%E9.png").row.source == os.fsdecode(bytes(odd) + b"/e\xe9.png")
    assert make(odd).run().kept == 8


def test_a_job_that_never_began_may_be_changed(photos):
    with pytest.raises(UnknownModelError):
        make(photos, "no-such-model").run()
    assert make(photos).run().done == 7


def human(photos, name, *labels):
    rows = [Annotated(name, (24, 32), tuple(Object(each, (1, 2, 9, 8)) for each in labels))]
    rows.append(Annotated("0/2.png", (24, 32)))  # nothing marked: nobody has looked
    write_coco(rows, photos.parent / "human")
    return photos.parent / "human" / "annotations.json"


def test_what_people_have_annotated_is_kept(photos):
    file = human(photos, "0/4.png", "plate", "vase")
    detector = Counting()
    summary = make(photos, detector, preserve=file).run()
    assert (detector.seen, summary.done, summary.human) == (6, 6, 1)
    entry = make(photos).ledger.get("0/4.png")
    assert (entry.fingerprint, [o.label for o in entry.row.objects]) == (HUMAN, ["plate", "vase"])
    assert entry.row.source == str(photos / "0/4.png")
    assert job_labels(photos.parent / "job") == ("cup", "plate", "vase")
    # A decision of later outlives the file that was preserved first, and another configuration.
    later = replace(entry, row=replace(entry.row, objects=entry.row.objects[:1]))
    with make(photos).ledger.locked() as ledger:
        ledger.append(later)
    make(photos, preserve=file, threshold=0.6).run(reconfigure=True)
    assert make(photos).ledger.get("0/4.png") == later
    summary = make(photos, threshold=0.6).run(overwrite_human=True)
    assert (summary.done, summary.human) == (1, 0)
    assert make(photos).ledger.get("0/4.png").fingerprint != HUMAN


def test_annotations_of_no_image_are_told_of(photos, caplog):
    make(photos, preserve=human(photos, "elsewhere/4.png", "plate")).run()
    assert "only 0 are in the source" in caplog.text
    assert "such as '0/0.png'" in caplog.text


def test_two_processes_on_one_job(photos):
    make(photos).run(limit=1)
    with (
        make(photos).ledger.locked(),
        pytest.raises(JobBusyError, match=f"process {os.getpid()}"),
    ):
        make(photos).run()
    assert make(photos).run().left == 0


def test_a_full_disk_ends_the_run_and_loses_nothing(photos, monkeypatch):
    real, calls = os.write, []

    def fills_up(file, data):
        calls.append(file)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return real(file, data)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", fills_up)
        with pytest.raises(LabelingError, match="No space left on device"):
            make(photos, batch_size=2).run()
    detector = Counting()
    assert make(photos, detector).run().kept == 2
    assert detector.seen == 5


def test_memory_does_not_grow_with_the_images(tmp_path):
    def items():
        for index in range(500):
            pixels = np.full((60, 80, 3), index % 256, np.uint8)
            pixels[0, 0, 0] = index // 256
            yield Item(f"{index:04d}", f"{index:04d}", content=lambda pixels=pixels: pixels)

    table = {"cup": [((3, 3, 40, 50), 0.5)]}
    job = LabelJob(
        items(), "cup", tmp_path / "job", detector=FakeDetector(table), segmenter=FakeSegmenter()
    )
    used = {}

    def measure(progress):
        if not tracemalloc.is_tracing() and progress.done >= 100:
            tracemalloc.start()
        elif progress.done in (200, 500):
            used[progress.done] = tracemalloc.get_traced_memory()[0]

    try:
        assert job.run(measure).done == 500
    finally:
        tracemalloc.stop()
    # Rows alone would be 300 x 1.5 kB, pictures 300 x 14 kB.
    assert used[500] - used[200] < 200_000


def test_export_filters_and_splits(photos, tmp_path):
    make(photos).run()
    assert export_job(tmp_path / "job", "coco", tmp_path / "all") == 7
    whole = json.loads((tmp_path / "all" / "annotations.json").read_text())
    assert [c["name"] for c in whole["categories"]] == ["cup", "plate"]
    assert [i["file_name"] for i in whole["images"]] == [e.item for e in make(photos).ledger]
    splits = {"train": 0.5, "val": 0.5}
    options = {"min_score": 0.7, "labels": ["plate"], "splits": splits, "pictures": True}
    export_job(tmp_path / "job", "coco", tmp_path / "some", **options)
    parts = [json.loads((tmp_path / "some" / f"annotations_{s}.json").read_text()) for s in splits]
    assert sum(len(part["images"]) for part in parts) == 7
    wanted = [a for a in whole["annotations"] if a["category_id"] == 2 and a["score"] >= 0.7]
    found = [a for part in parts for a in part["annotations"]]
    assert sorted(a["score"] for a in found) == sorted(a["score"] for a in wanted)
    assert (tmp_path / "some" / "images" / "0" / "0.png").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"format_name": "docx"}, "there are coco"),
        ({"labels": ["spoon"]}, "among cup, plate; got spoon"),
        ({"job": "none"}, "no labelling job in"),
    ],
)
def test_exports_that_cannot_be(options, message, photos, tmp_path):
    make(photos).run(limit=1)
    given = {"job": "job", "format_name": "coco", "out": tmp_path / "out"} | options
    with pytest.raises((ConfigError, LabelingError), match=message):
        export_job(tmp_path / given.pop("job"), **given)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"batch_size": 0}, "batch_size"),
        ({"workers": 0}, "workers"),
        ({"preserve": "x", "preserve_format": "coco-results"}, "no format that can be read"),
        ({"query": ""}, "query is empty"),
        ({"threshold": 3}, "between 0 and 1"),
    ],
)
def test_options_that_cannot_be(options, message, photos):
    with pytest.raises(ValueError, match=message):
        make(photos, **options)


def test_a_source_without_pictures_is_said(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(LabelingError, match="no picture in the source"):
        make(tmp_path / "in").run()


def test_entries_of_another_engine_are_recorded(photos):
    def engine(recipe, fingerprint):
        def run(tasks):
            for task in tasks:
                row = Annotated(task.name, (1, 1), source=task.source)
                done = Entry(task.name, task.sha256, fingerprint, "done", row, stamp=task.stamp)
                yield [done]

        return run

    assert make(photos).run(engine=engine).done == 7
    assert make(photos).run().kept == 7
