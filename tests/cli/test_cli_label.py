from __future__ import annotations

import json
import multiprocessing
import os
import struct
import zipfile
import zlib

import cv2
import numpy as np
import PIL.Image
import pytest
from pycocotools.coco import COCO

from grounding_sdk.cli import main
from grounding_sdk.labeling import Ledger, export_job

FAKE = ["--detector", "fake", "--segmenter", "fake"]


def picture(path, seed=0, **options):
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 32, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(path, **options)


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "in").mkdir()
    for index in range(5):
        picture(tmp_path / "in" / f"{index}.png", index)
    (tmp_path / "o.yaml").write_text("labels: {cup: [cup, mug], plate: }")
    return tmp_path / "in"


def label(*args):
    return main(["label", *map(str, args), *FAKE])


def test_label_then_export(photos, tmp_path, capsys):
    job = tmp_path / "job"
    assert label(photos, "--query", tmp_path / "o.yaml", "--out", job, "--limit", 2) == 0
    printed = capsys.readouterr()
    assert "5 images: 2 labelled, 3 left" in printed.out
    assert "2 of 5 images | 3 left" in printed.err
    assert label(photos, "--query", tmp_path / "o.yaml", "--out", job) == 0
    printed = capsys.readouterr()
    assert "5 images: 3 labelled, 2 were already" in printed.out
    assert f"{job} holds cup " in printed.out
    assert "5 of 5 images | 0 left" in printed.err
    assert main(["export", str(job), "--format", "coco", "--out", str(tmp_path / "coco")]) == 0
    assert "5 images written" in capsys.readouterr().out
    coco = COCO(str(tmp_path / "coco" / "annotations.json"))
    assert [each["name"] for each in coco.loadCats(coco.getCatIds())] == ["cup", "plate"]
    for each in coco.loadAnns(coco.getAnnIds()):
        assert coco.annToMask(each).sum() == each["area"]
    args = ["--splits", "train=0.6,val=0.4", "--labels", "plate", "--min-score", "0.5"]
    out = tmp_path / "yolo"
    assert main(["export", str(job), "--format", "yolo", "--out", str(out), *args]) == 0
    assert "plate" in (out / "data.yaml").read_text()


def test_json_and_quiet(photos, tmp_path, capsys):
    args = (photos, "--text", "cup", "--out", tmp_path / "job")
    assert label(*args, "--json") == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert (report["images"], report["done"], report["failed"], report["failures"]) == (5, 5, 0, [])
    assert report["objects"]["cup"] > 0
    assert printed.err == ""
    assert label(*args, "--quiet") == 0
    assert capsys.readouterr() == ("", "")


def png_with_a_wrong_checksum(path):
    picture(path)
    data = bytearray(path.read_bytes())
    data[data.index(b"IHDR") + 4 + 13] ^= 0xFF
    path.write_bytes(data)


def bomb(path):
    """A small PNG that says it is 60,000 x 60,000."""

    def chunk(kind, body):
        content = kind + body
        return struct.pack(">I", len(body)) + content + struct.pack(">I", zlib.crc32(content))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 9)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def truncated(path):
    picture(path, quality=95)
    path.write_bytes(path.read_bytes()[:600])


def zipped(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "a")


BAD = {
    "truncated.jpg": (truncated, "truncated"),
    "empty.jpg": (lambda p: p.write_bytes(b""), "it is empty"),
    "text.jpg": (lambda p: p.write_text("just words"), "no known format"),
    "folder.jpg": (lambda p: p.mkdir(), "is a folder"),
    "link.png": (lambda p: p.symlink_to("gone.png"), "no image file"),
    "bomb.png": (bomb, "expected at most"),
    "page.webp": (lambda p: p.write_text("<!doctype html><html></html>"), "no known format"),
    "checksum.png": (png_with_a_wrong_checksum, "broken PNG"),
    "archive.tif": (zipped, "no known format"),
    "pipe.jpg": (os.mkfifo, "no regular file"),
}
GOOD = {
    "wrong_suffix.jpg": lambda p: picture(p, format="PNG"),
    "animated.gif": lambda p: PIL.Image.new("P", (9, 9)).save(
        p, save_all=True, append_images=[PIL.Image.new("P", (9, 9), 3)]
    ),
    "print.jpg": lambda p: PIL.Image.new("CMYK", (9, 9), (9, 9, 9, 9)).save(p),
    "deep.png": lambda p: PIL.Image.fromarray(np.full((9, 9), 999, np.uint16)).save(p),
    "palette.PNG": lambda p: PIL.Image.new("P", (9, 9)).save(p),
}


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_files_are_named_with_their_reasons_and_the_good_ones_labelled(
    workers, photos, tmp_path, capsys
):
    for name, (make, _) in BAD.items():
        make(photos / name)
    for name, make in GOOD.items():
        make(photos / name)
    bad = dict(BAD)
    if os.geteuid():  # nothing is forbidden to root
        picture(photos / "secret.png")
        (photos / "secret.png").chmod(0)
        bad["secret.png"] = (None, "Permission denied")
    job = tmp_path / "job"
    args = (photos, "--text", "cup", "--out", job, "--workers", workers)
    assert label(*args) == 1
    printed = capsys.readouterr()
    assert f"{len(GOOD) + 5} labelled, {len(bad)} failed" in printed.out
    failed = {entry.item: entry.error for entry in Ledger.open(job) if entry.status == "failed"}
    assert failed.keys() == bad.keys()
    for name, (_, reason) in bad.items():
        assert reason in failed[name], name
        assert f"  {name}: {failed[name]}" in printed.err
    assert label(*args, "--json") == 1  # still not all labelled
    assert json.loads(capsys.readouterr().out)["kept"] == len(GOOD) + 5
    assert export_job(job, "coco", tmp_path / "coco") == len(GOOD) + 5


def test_a_second_process_is_told_who_is_at_work(photos, tmp_path, capsys):
    args = (photos, "--text", "cup", "--out", tmp_path / "job", "--quiet")
    assert label(*args, "--limit", 1) == 0
    with Ledger.open(tmp_path / "job").locked():
        assert label(*args) == 2
        assert f"process {os.getpid()} on " in capsys.readouterr().err
        assert (
            main(["export", str(tmp_path / "job"), "--format", "voc", "--out", str(tmp_path)]) == 0
        )
    assert label(*args) == 0


def test_every_nth_frame_of_a_video(tmp_path, capsys):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 5, (32, 16))
    for index in range(9):
        writer.write(np.full((16, 32, 3), 20 * index, np.uint8))
    writer.release()
    args = (path, "--text", "cup", "--out", tmp_path / "job", "--every", 4)
    assert label(*args, "--limit", 1) == 0
    assert label(*args) == 0
    assert "3 images: 2 labelled, 1 were already" in capsys.readouterr().out
    entries = list(Ledger.open(tmp_path / "job"))
    assert [entry.item for entry in entries] == [f"clip.avi#00000{i}" for i in (0, 4, 8)]
    assert len({entry.sha256 for entry in entries}) == 3
    assert entries[0].row.source == f"{path}#000000"


def test_ctrl_c_stops_cleanly(photos, tmp_path, monkeypatch, capsys):
    from grounding_sdk.models.fakes import FakeDetector

    real, calls = FakeDetector.detect, []

    def detect(self, images, queries):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, images, queries)

    monkeypatch.setattr(FakeDetector, "detect", detect)
    args = (photos, "--text", "cup", "--out", tmp_path / "job", "--batch-size", 2)
    assert label(*args) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert label(*args) == 0
    assert "5 images: 3 labelled, 2 were already" in capsys.readouterr().out


@pytest.mark.parametrize(
    "args, message",
    [
        (["{in}/none/*.png", "--text", "cup"], "no picture in the source"),
        (["{in}/none", "--text", "cup"], "there is no"),
        (["{in}", "--text", "cup", "--threshold", "2"], "between 0"),
        (["{in}", "--text", "cup", "--limit", "0"], "at least 1"),
        (["{in}", "--text", "cup", "--every", "0"], "from 1"),
        (["{in}", "--text", "cup", "--preserve", "{in}/none.json"], "none.json"),
        (["{in}", "--text", "cup", "--out", "{in}/0.png"], "0.png is a file"),
        (["{in}", "--query", "{in}/none.yaml"], "none.yaml"),
    ],
)
def test_mistakes_get_one_helpful_line(args, message, photos, tmp_path, capsys):
    filled = [arg.replace("{in}", str(photos)) for arg in args]
    out = [] if "--out" in args else ["--out", str(tmp_path / "job")]
    assert label(*filled, *out) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err


@pytest.mark.parametrize(
    "args, message",
    [
        (["--format", "docx"], "there are coco"),
        (["--format", "coco", "--splits", "train"], "train=0.8"),
        (["--format", "coco", "--labels", "spoon"], "got spoon"),
    ],
)
def test_exports_that_cannot_be(args, message, photos, tmp_path, capsys):
    job = tmp_path / "job"
    assert main(["export", str(job), *args, "--out", str(tmp_path / "x")]) == 2
    assert label(photos, "--text", "cup", "--out", job, "--quiet") == 0
    capsys.readouterr()
    assert main(["export", str(job), *args, "--out", str(tmp_path / "x")]) == 2
    assert message in capsys.readouterr().err


def killed(command, is_time):
    """Runs a command in a process of its own and kills it; True if it ended before."""
    process = multiprocessing.get_context("fork").Process(target=main, args=(command,))
    process.start()
    while process.is_alive() and not is_time():
        pass
    process.kill()
    process.join()
    return process.exitcode == 0


def test_killed_again_and_again_it_ends_like_a_run_that_was_not(tmp_path):
    """The small form of tests/benchmarks/label_kill.py; it kills by progress, not by the clock."""
    (tmp_path / "in").mkdir()
    for index in range(60):
        picture(tmp_path / "in" / f"{index:02d}.png", index)
    command = ["label", str(tmp_path / "in"), "--text", "cup . plate", *FAKE, "--quiet"]
    assert main([*command, "--out", str(tmp_path / "whole")]) == 0
    job, shard = tmp_path / "job", tmp_path / "job" / "ledger-00000.jsonl"
    command += ["--batch-size", "1", "--out", str(job)]
    whole = (tmp_path / "whole" / "ledger-00000.jsonl").stat().st_size
    for part in range(1, 7):
        enough = whole * part // 8
        assert not killed(command, lambda: shard.exists() and shard.stat().st_size > enough)  # noqa: B023
        with open(shard, "ab") as file:  # what a power cut may leave
            file.write(b'{"item": "half a li' * (part % 2))
    assert main(command) == 0
    for name in ("whole", "job"):
        export_job(tmp_path / name, "coco", tmp_path / f"{name}-coco")
        export_job(tmp_path / name, "jsonl", tmp_path / f"{name}-jsonl")
    for name in ("coco/annotations.json", "jsonl/annotations.jsonl"):
        assert (tmp_path / f"job-{name}").read_bytes() == (tmp_path / f"whole-{name}").read_bytes()
    lines = shard.read_text().splitlines()
    assert len({json.loads(line)["item"] for line in lines}) == len(lines) == 60


def test_ray_is_an_extra_that_is_named_where_it_is_missing(tmp_path, capsys, monkeypatch):
    import sys

    import PIL.Image

    from grounding_sdk.cli import main

    PIL.Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    monkeypatch.setitem(sys.modules, "ray", None)
    words = ["label", str(tmp_path), "--text", "dog", "--out", str(tmp_path / "job")]
    assert main([*words, "--detector", "fake", "--segmenter", "fake", "--engine", "ray"]) == 2
    assert "grounding_sdk[ray]" in capsys.readouterr().err
