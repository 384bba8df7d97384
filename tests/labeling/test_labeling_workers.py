from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
from dataclasses import replace

import PIL.Image
import pytest
from deadly_models import Broken, Deadly

from grounding_sdk.labeling import LabelingError, LabelJob, Ledger, workers
from grounding_sdk.models.fakes import FakeDetector, FakeSegmenter


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Starts workers from a server that has imported all; tests of the command line spawn them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["grounding_sdk.labeling", "grounding_sdk.models.fakes", "torch"]
    )
    monkeypatch.setattr(workers, "get_context", lambda method: context)


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "in").mkdir()
    for index in range(10):
        PIL.Image.new("L", (9, 9), index).save(tmp_path / "in" / f"{index}.png")
    (tmp_path / "in" / "bad.png").write_bytes(b"no picture")
    return tmp_path / "in"


def make(photos, out, detector, workers=2):
    job = photos.parent / out
    options = {"segmenter": FakeSegmenter(), "batch_size": 2, "workers": workers}
    return LabelJob(photos, "cup . plate", job, detector=detector, **options)


def content(job):
    return [replace(entry, seconds=0.0) for entry in Ledger.open(job)]


def test_workers_find_what_one_process_finds(photos, tmp_path):
    alone = make(photos, "alone", FakeDetector(), workers=1).run()
    seen = []
    together = make(photos, "together", FakeDetector()).run(lambda p: seen.append(p.done))
    assert content(tmp_path / "alone") == content(tmp_path / "together")
    assert (alone.done, together.done, together.failed, seen[-1]) == (10, 10, 1, 10)


def test_a_picture_that_kills_its_process_is_a_failure_and_the_rest_is_done(photos, tmp_path):
    summary = make(photos, "job", Deadly(grey=6)).run()
    assert (summary.done, summary.failed) == (9, 2)
    reasons = {head.item: head.error for head in summary.failures}
    assert "process that labelled it died" in reasons["6.png"]
    assert make(photos, "job", Deadly()).run(retry_failed=True).done == 1


def test_models_that_kill_every_process_end_the_run(photos):
    with pytest.raises(LabelingError, match="die before they label anything"):
        make(photos, "job", Broken()).run()


def test_a_model_that_cannot_be_loaded_is_said(photos):
    class Unknown(FakeDetector):  # of no module, so no other process can make it
        pass

    with pytest.raises((AttributeError, LabelingError)):
        make(photos, "job", Unknown()).run()


def _run_and_say(photos, pids):
    fork = multiprocessing.get_context("fork")
    workers.get_context = lambda method: fork

    def tell(progress):
        pids.send([child.pid for child in multiprocessing.active_children()])
        signal.pause()

    make(photos, "job", FakeDetector()).run(tell)


def test_workers_end_with_their_parent(photos):
    receiver, sender = multiprocessing.Pipe(duplex=False)
    context = multiprocessing.get_context("fork")
    parent = context.Process(target=_run_and_say, args=(photos, sender))
    parent.start()
    assert receiver.poll(60)
    waiting = [os.pidfd_open(pid) for pid in receiver.recv()]
    parent.kill()
    parent.join()
    assert len(waiting) == 2
    while waiting:
        ended = multiprocessing.connection.wait(waiting, timeout=60)
        assert ended
        for each in ended:
            os.close(each)
            waiting.remove(each)


def test_ctrl_c_keeps_what_is_done(photos, tmp_path):
    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(photos, "job", FakeDetector()).run(stop)
    assert len(Ledger.open(tmp_path / "job")) == 2
    assert make(photos, "job", FakeDetector()).run().done == 8
    assert len(Ledger.open(tmp_path / "job")) == 11
