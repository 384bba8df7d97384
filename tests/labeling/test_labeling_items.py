from __future__ import annotations

import json
import os

import cv2
import numpy as np
import PIL.Image
import pytest

from grounding_sdk.errors import ImageError, MissingExtraError
from grounding_sdk.formats import FormatError
from grounding_sdk.labeling import LabelingError
from grounding_sdk.labeling.items import Item, find_items, item_name, load_source


def picture(path, colour=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", (6, 4), (colour, 9, 9)).save(path, "PNG")
    return path


def clip(path, frames=7):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 5, (32, 16))
    for index in range(frames):
        writer.write(np.full((16, 32, 3), (0, 0, 30 * index), np.uint8))  # BGR: ever more red
    writer.release()
    return path


def names(source, **options):
    items = find_items(source, **options)
    found = [item.name for item in items]
    assert items.count() == len(found)
    return found


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "in"
    for name in ("b.JPG", "a.png", "a/z.webp", "a.b/y.tif", ".hidden/x.png", "a/.x.png"):
        picture(root / name)
    (root / "notes.txt").write_text("no picture")
    return root


def test_a_folder_gives_its_pictures_in_the_order_of_their_names(folder):
    (folder / "empty.jpg").mkdir()  # is no picture, which somebody should be told
    picture(folder / "album.jpg" / "c.png")  # a folder all the same
    (folder / "gone.png").symlink_to("nowhere.png")
    (folder / "a" / "loop").symlink_to(folder, target_is_directory=True)
    found = names(folder)
    assert found == "a.b/y.tif a.png a/z.webp album.jpg/c.png b.JPG empty.jpg gone.png".split()
    assert found == sorted(found)
    first = next(iter(find_items(folder)))
    assert first.source == str(folder / "a.b" / "y.tif")
    assert first.stamp().startswith(f"{(folder / 'a.b/y.tif').stat().st_size}-")


def test_a_pattern_gives_what_matches_named_from_where_it_begins(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert names("in/**/*.[pw]*") == ["a.png", "a/z.webp"]
    assert names(str(folder / "*" / "*")) == ["a.b/y.tif", "a/z.webp"]
    assert names("in/*.none") == []


def test_a_list_names_paths_from_where_it_lies(folder, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    other = picture(tmp_path / "other" / "o.png")
    lines = ["a.png", "", f"{folder}/b.JPG ", "https://example.org/p/q.jpg?s=1", str(other)]
    (folder / "list.txt").write_text("\ufeff" + "\r\n".join(lines))
    items = list(find_items(folder / "list.txt"))
    outside = str(other).lstrip("/")
    assert [i.name for i in items] == ["a.png", "b.JPG", "example.org/p/q.jpg?s=1", outside]
    assert [i.source for i in items][2:] == ["https://example.org/p/q.jpg?s=1", str(other)]
    assert items[2].stamp() == ""
    assert names(folder / "list.txt", root=tmp_path)[0] == "a.png"
    assert next(iter(find_items(folder / "list.txt", root=tmp_path))).source == f"{tmp_path}/a.png"


@pytest.mark.parametrize(
    "name, text",
    [
        ("m.csv", "id,File_Name\n1,a.png\n2,a/z.webp\n3,\n"),
        ("m.tsv", "path\tlabel\na.png\tx\na/z.webp\ty\n\tz\n"),
        ("m.jsonl", '{"image": "a.png"}\n\n{"image": "a/z.webp"}\n{"image": null}\n'),
    ],
)
def test_a_table_gives_its_column_of_paths_and_rows_without_one_fail(name, text, folder):
    (folder / name).write_text(text)
    items = list(find_items(folder / name))
    assert [item.name for item in items] == ["a.png", "a/z.webp", f"{name}#3"]
    assert [item.error for item in items] == [None, None, "the row names no picture"]


def test_coco_lists_its_images(folder):
    picture(folder / "images" / "c.png")
    images = [{"file_name": "a/z.webp"}, {"file_name": "c.png"}, {"file_name": "../e.png"}]
    (folder / "c.json").write_text(json.dumps({"images": images}))
    items = list(find_items(folder / "c.json"))
    assert [item.name for item in items] == ["a/z.webp", "c.png", "e.png"]
    assert items[1].source == str(folder / "images" / "c.png")


def test_a_video_gives_every_nth_frame(tmp_path):
    path = clip(tmp_path / "clip.avi")
    items = find_items(path, every=3)
    assert items.count() == 3
    reds = {item.name: int(item.content()[8, 16, 0]) for item in items}
    assert list(reds) == ["clip.avi#000000", "clip.avi#000003", "clip.avi#000006"]
    assert np.allclose(list(reds.values()), [0, 90, 180], atol=12)
    assert len(names(path)) == 7
    (tmp_path / "l.txt").write_text("clip.avi")
    assert len(names(tmp_path / "l.txt", every=4)) == 2
    frame = load_source(f"{path}#000006")
    assert (frame.size, frame.source) == ((16, 32), f"{path}#000006")
    assert np.allclose(frame.pixels[8, 16, 0], 180, atol=12)
    with pytest.raises(ImageError, match="no frame 99"):
        load_source(f"{path}#000099")


def test_a_video_that_is_none_is_an_item_with_an_error(tmp_path):
    (tmp_path / "v.mp4").write_bytes(b"no video at all")
    (item,) = find_items(tmp_path / "v.mp4")
    assert item.name == "v.mp4"
    assert "as a video" in item.error


def test_an_iterable_gives_paths_and_items(folder, monkeypatch):
    monkeypatch.chdir(folder)
    given = Item("mine", str(folder / "a.png"))
    assert names(["a.png", folder / "b.JPG", given]) == ["a.png", "b.JPG", "mine"]
    once = find_items(path for path in ["a.png"])
    assert once.count() is None
    assert [item.name for item in once] == ["a.png"]
    assert load_source("a.png").size == (4, 6)


def test_tables_need_pyarrow_only_where_they_are_parquet(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (folder / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(MissingExtraError, match=r"grounding_sdk\[tables\]"):
        list(find_items(folder / "t.parquet"))


def rows_with_bytes(folder):
    data = [(folder / name).read_bytes() for name in ("a.png", "b.JPG")]
    return [{"bytes": data[0], "path": "x/a.png"}, {"bytes": data[1], "path": None}]


def test_parquet_holds_paths_or_pictures(folder):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"path": ["a.png", "a/z.webp", None]}), folder / "p.parquet")
    assert names(folder / "p.parquet") == ["a.png", "a/z.webp", "p.parquet#3"]
    out = folder.parent / "hub" / "data"
    out.mkdir(parents=True)
    parquet.write_table(arrow.table({"image": rows_with_bytes(folder)}), out / "train-0.parquet")
    items = list(find_items(out.parent))
    stem = "data/train-0"
    assert [item.name for item in items] == [f"{stem}/00000001_a.png", f"{stem}/00000002"]
    assert [item.content() for item in items] == [row["bytes"] for row in rows_with_bytes(folder)]
    (out / "bad.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(LabelingError, match=r"bad\.parquet"):
        names(out)


def test_a_dataset_as_hugging_face_saves_it(folder, tmp_path):
    arrow = pytest.importorskip("pyarrow")
    saved = tmp_path / "saved"
    (saved / "train").mkdir(parents=True)
    (saved / "dataset_dict.json").write_text('{"splits": ["train"]}')
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}
    (saved / "train" / "state.json").write_text(json.dumps(state))
    table = arrow.table({"label": [1, 2], "image": rows_with_bytes(folder)})
    with (
        arrow.OSFile(str(saved / "train" / "data-00000-of-00001.arrow"), "wb") as sink,
        arrow.ipc.new_stream(sink, table.schema) as writer,
    ):
        writer.write_table(table)
    stem = "train/data-00000-of-00001"
    assert names(saved) == [f"{stem}/00000001_a.png", f"{stem}/00000002"]


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("a.csv", "id,label\n1,2\n", "expected one called file_name"),
        ("a.csv", "", "expected one called file_name"),
        ("a.jsonl", "not json\n", "a.jsonl"),
        ("a.json", '{"annotations": []}', "expected a COCO file"),
        ("a.txt", b"\xff\xfe\x00", "a.txt"),
    ],
)
def test_tables_that_are_none_are_named(name, text, message, tmp_path):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises((LabelingError, FormatError), match=message):
        list(find_items(tmp_path / name))


def test_sources_that_are_none(tmp_path):
    with pytest.raises(LabelingError, match=r"there is no .*none"):
        find_items(tmp_path / "none")
    with pytest.raises(LabelingError, match="got int"):
        find_items(3)
    with pytest.raises(LabelingError, match="n from 1"):
        find_items(tmp_path, every=0)
    with pytest.raises(LabelingError, match="got int"):
        list(find_items([3]))


def test_names_that_no_dataset_may_have_are_escaped(tmp_path):
    for name in ("a\nb.png", "c\\d.png", os.fsdecode(b"e\xff.png"), "C:f.png"):
        picture(tmp_path / name)
    assert names(tmp_path) == ["C%3Af.png", "a%0Ab.png", "c%5Cd.png", "e%FF.png"]
    assert item_name("../up/./a.png") == "up/a.png"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_may_not_be_listed_is_an_item_with_an_error(folder):
    (folder / "a").chmod(0)
    try:
        errors = {item.name: item.error for item in find_items(folder)}
    finally:
        (folder / "a").chmod(0o700)
    assert "Permission denied" in errors["a"]
    assert errors["b.JPG"] is None
