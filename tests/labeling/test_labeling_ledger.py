from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import numpy as np
import pytest

from grounding_sdk.formats import Annotated, Mask, Object
from grounding_sdk.labeling import (
    HUMAN,
    Entry,
    JobBusyError,
    LabelingError,
    Ledger,
)
from grounding_sdk.labeling import (
    ledger as ledger_module,
)


def done(item, label="dog", fingerprint="f1", sha256="", **options):
    mask = Mask(np.ones((2, 3), bool), 1, 1)
    row = Annotated(item, (8, 9), (Object(label, (1, 1, 4, 3), mask, 0.5, 0.25, "a dog"),))
    return Entry(item, sha256 or f"sha-{item}", fingerprint, "done", row, **options)


def failed(item, error="it is empty"):
    return Entry(item, "", "f1", "failed", None, error)


def write(folder, *entries):
    with Ledger.open(folder).locked() as ledger:
        ledger.append(entries)
    return ledger


def test_what_was_appended_is_read_back_whole(tmp_path):
    entries = [
        done("b/1.jpg", seconds=0.25, stamp="12-34"),
        Entry("a.jpg", "s", HUMAN, "done", Annotated("a.jpg", (3, 4))),
        failed("ünï \U0001f600.png", 'it said "row": {} and \n left'),
        failed("c \udcff.png"),
    ]
    write(tmp_path, *entries)
    ledger = Ledger.open(tmp_path)
    assert list(ledger) == sorted(entries, key=lambda entry: entry.item)
    assert [ledger.get(entry.item) for entry in entries] == entries
    assert [ledger.head(entry.item) for entry in entries] == [entry.head for entry in entries]
    assert list(ledger.heads()) == [entry.head for entry in ledger]
    assert (len(ledger), "a.jpg" in ledger, "x.jpg" in ledger) == (4, True, False)
    assert ledger.get("x.jpg") is None
    assert ledger.counts() == {"done": 2, "failed": 2}
    assert ledger.objects() == {"dog": 1}
    assert [row.file_name for row in ledger.rows()] == ["a.jpg", "b/1.jpg"]


def test_a_later_entry_supersedes(tmp_path):
    write(tmp_path, failed("a"), done("b"), done("a", "cat"))
    ledger = write(tmp_path, done("b", "cow", HUMAN))
    for each in (ledger, Ledger.open(tmp_path)):
        assert [entry.row.objects[0].label for entry in each] == ["cat", "cow"]
        assert each.counts() == {"done": 2, "failed": 0}
        assert each.objects() == {"cat": 1, "cow": 1}
        assert len(each) == 2


def test_content_is_found_under_any_name_but_only_as_the_same_model_saw_it(tmp_path):
    ledger = write(tmp_path, done("a", sha256="s1"), done("h", sha256="s2", fingerprint=HUMAN))
    assert ledger.find("s1", "f1").item == "a"
    assert ledger.find("s1", "f2") is None
    assert ledger.find("s2", HUMAN) is None


def test_order_is_that_of_names_across_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger_module, "SHARD_BYTES", 2000)
    monkeypatch.setattr(ledger_module, "_RECENT", 7)
    names = [f"{number:03d}" for number in np.random.default_rng(0).permutation(60)]
    with Ledger.open(tmp_path).locked() as ledger:
        for name in names:
            ledger.append(done(name))
        ledger.append(done(name, "late") for name in names[:10])
    assert len(list(tmp_path.glob("ledger-*.jsonl"))) > 3
    for each in (ledger, Ledger.open(tmp_path)):
        assert [entry.item for entry in each] == sorted(names)
        assert each.objects() == {"dog": 50, "late": 10}
        assert each.get(names[3]).row.objects[0].label == "late"


@pytest.mark.parametrize("cut", [1, 2, 40, 200])
def test_a_torn_last_line_is_cut_off_and_nothing_else(cut, tmp_path):
    write(tmp_path, done("a"), done("b"))
    shard = tmp_path / "ledger-00000.jsonl"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-cut])
    assert [entry.item for entry in Ledger.open(tmp_path)] == ["a"]
    assert shard.read_bytes() == whole[:-cut]  # who only reads changes nothing
    write(tmp_path, done("b"))
    assert shard.read_bytes() == whole


@pytest.mark.parametrize("damage", [b"\0" * 300 + b"\n", b'{"item": "b", "stat\n', b"\n", b"{}\n"])
def test_a_damaged_line_is_left_out_and_said(damage, tmp_path, caplog):
    write(tmp_path, done("a"))
    with open(tmp_path / "ledger-00000.jsonl", "ab") as file:
        file.write(damage)
    with caplog.at_level(logging.WARNING):
        ledger = write(tmp_path, done("c"))
    assert [entry.item for entry in ledger] == ["a", "c"]
    assert "damaged" in caplog.text


def test_a_reader_can_follow_a_writer(tmp_path):
    reader = Ledger.open(tmp_path)
    with Ledger.open(tmp_path).locked() as writer:
        writer.append(done("a"))
        reader.refresh()
        assert [entry.item for entry in reader] == ["a"]
        writer.append(failed("a"))
    reader.refresh()
    assert reader.counts() == {"done": 0, "failed": 1}


def test_one_writes_at_a_time_and_the_other_is_told_who(tmp_path):
    first, second = Ledger.open(tmp_path), Ledger.open(tmp_path)
    with (
        first.locked(),
        pytest.raises(JobBusyError, match=f"process {os.getpid()} on "),
        second.locked(),
    ):
        pass
    with second.locked():
        second.append(done("a"))
    with first.locked():
        assert first.get("a") == done("a")  # seen although it was opened before


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    code = (
        "import os, signal, sys; from grounding_sdk.labeling import Ledger\n"
        "with Ledger.open(sys.argv[1]).locked(): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert json.loads((tmp_path / "ledger.owner.json").read_text())["pid"]
    write(tmp_path, done("a"))


def test_a_full_disk_takes_back_the_whole_append(tmp_path, monkeypatch):
    real, calls = os.write, []

    def fills_up(file, data):
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return real(file, data[:10])

    ledger = Ledger.open(tmp_path)
    with ledger.locked():
        ledger.append(done("a"))
        monkeypatch.setattr(os, "write", fills_up)
        with pytest.raises(LabelingError, match="No space left on device"):
            ledger.append([done("b"), done("c")])
        monkeypatch.setattr(os, "write", real)
        ledger.append(done("d"))
    assert [entry.item for entry in Ledger.open(tmp_path)] == ["a", "d"]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_cannot_be_written_to(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(LabelingError, match="cannot write"), Ledger.open(tmp_path).locked():
            pass
    finally:
        tmp_path.chmod(0o700)


def test_mistakes(tmp_path):
    with pytest.raises(LabelingError, match="there is no folder"):
        Ledger.open(tmp_path / "none")
    with pytest.raises(LabelingError, match="lock to be held"):
        Ledger.open(tmp_path).append(done("a"))
    with pytest.raises(LabelingError, match="with a row of the same name"):
        Entry("a", "", "f", "done", Annotated("b", (1, 1)))
    with pytest.raises(LabelingError, match="'failed' with an error"):
        Entry("a", "", "f", "failed")


def test_the_index_of_many_items_is_small():
    places = ledger_module._Places()
    for key in range(100_000):
        places.put((key * 0x9E3779B97F4A7C15) % 2**64, key)
    assert len(places) == 100_000
    assert places.get(0x9E3779B97F4A7C15 * 77_777 % 2**64) == 77_777
    assert places.get(5) is None
    assert places._keys.nbytes + places._values.nbytes == 1_600_000
