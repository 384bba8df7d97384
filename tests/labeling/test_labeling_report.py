from __future__ import annotations

import json
import re

import numpy as np
import PIL.Image
import pytest
from review_jobs import EVIL, SIZE, small_job, thing

from grounding_sdk.cli import main
from grounding_sdk.formats import Annotated, Mask, Object
from grounding_sdk.labeling import HUMAN, Entry, LabelingError, Ledger
from grounding_sdk.labeling.report import write_report


def said(out, what):
    """What the report's data say, by name of the call."""
    lines = (out / "data" / "index.js").read_text().splitlines()
    calls = (re.fullmatch(r"review\.(\w+)\((.*)\);", line) for line in lines)
    return [json.loads(call[2]) for call in calls if call[1] == what]


def details(out, number=0):
    text = (out / "data" / f"{number}.js").read_text()
    return json.loads(re.fullmatch(rf"review\.chunk\({number}, (.*)\);\n", text)[1])


@pytest.fixture
def job(tmp_path):
    return small_job(tmp_path)


def test_every_picture_is_there_with_what_is_doubtful(job, tmp_path):
    page = write_report(job, tmp_path / "out")
    assert page == tmp_path / "out" / "index.html"
    pictures = {each["item"]: each for each in said(tmp_path / "out", "add")}
    assert list(pictures) == [row.file_name for row in job.rows()]
    assert pictures["rivals.png"]["flags"] == ["overlap", "margin"]
    assert pictures["low/score.png"]["doubt"] == pytest.approx(0.88)
    assert pictures["by a person.png"]["person"] is True
    (failed,) = said(tmp_path / "out", "failed")
    assert failed == {"item": "broken <b>.png", "error": "it is <i>empty</i>"}
    assert said(tmp_path / "out", "end") == [{"failures": 1}]
    for each in pictures.values():
        with PIL.Image.open(tmp_path / "out" / each["thumb"]) as thumb:
            assert thumb.size == SIZE[::-1]


def test_objects_keep_their_exact_numbers_and_masks_become_paths(job, tmp_path):
    write_report(job, tmp_path / "out")
    index = [row.file_name for row in job.rows()].index("a good one.png")
    picture = details(tmp_path / "out")[index]
    dog = job.get("a good one.png").row.objects[0]
    shown = picture["objects"][0]
    assert (shown["label"], shown["box"], shown["score"]) == ("dog", list(dog.box), dog.score)
    path = re.findall(r"([ML])([\d.]+) ([\d.]+)", shown["outline"])
    xs, ys = [float(x) for _, x, _ in path], [float(y) for _, _, y in path]
    assert (min(xs), min(ys), max(xs), max(ys)) == dog.mask.box
    assert (tmp_path / "out" / picture["picture"].replace("%20", " ")).resolve() == (
        tmp_path / "pictures" / "a good one.png"
    )


def test_whatever_a_ledger_holds_never_becomes_markup(job, tmp_path):
    page = write_report(job, tmp_path / "out", title='</title><script>alert("1")</script>{{js}}')
    text = page.read_text("utf-8")
    assert "<script>" not in text
    assert "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;{{js}}" in text
    assert EVIL not in text
    nonces = set(re.findall(r'nonce[-=]"?([\w-]+)', text.split("</style>")[0]))
    assert len(nonces) == 1
    assert re.search(r"""(https?:|//)\w""", re.sub(r"http://www.w3.org/2000/svg", "", text)) is None
    assert "default-src 'none'" in text


def test_pictures_are_copied_where_a_browser_could_not_show_them(tmp_path):
    rows = []
    for name in ("wide.tif", "plain.png"):
        source = str(tmp_path / name)
        PIL.Image.fromarray(np.full((20, 2000, 3), 200, np.uint8)).save(source)
        rows.append(Annotated(name, (20, 2000), (), source=source))
    rows.append(Annotated("gone.png", (5, 5), (), source=str(tmp_path / "gone.png")))
    rows.append(Annotated("nowhere.png", (5, 5), ()))
    out = tmp_path / "out"
    write_report(rows, out)
    shown = [each["picture"] for each in details(out)]
    assert shown == ["pictures/0.jpg", "../plain.png", None, None]
    assert [each["thumb"] for each in said(out, "add")] == [
        "thumbs/0.jpg",
        "thumbs/1.jpg",
        None,
        None,
    ]
    with PIL.Image.open(out / "pictures/0.jpg") as picture:
        assert picture.size == (1600, 16)

    write_report(rows, out, copy=True)
    assert [each["picture"] for each in details(out)][:2] == ["pictures/0.jpg", "pictures/1.jpg"]


def test_frames_of_a_video_are_taken_from_it(tmp_path):
    cv2 = pytest.importorskip("cv2")
    path = str(tmp_path / "clip.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), 5, (64, 48))
    for value in (0, 120, 240):
        writer.write(np.full((48, 64, 3), value, np.uint8))
    writer.release()
    names = [f"clip.avi#00000{number}" for number in (0, 2, 1)]
    rows = [Annotated(name, (48, 64), (), source=str(tmp_path / name)) for name in names]
    write_report(rows, tmp_path / "out")
    shown = [PIL.Image.open(tmp_path / "out" / f"thumbs/{i}.jpg") for i in range(3)]
    assert [round(np.asarray(each).mean() / 120) for each in shown] == [0, 2, 1]


def test_a_limit_takes_the_most_doubtful(job, tmp_path):
    write_report(job, tmp_path / "out", limit=2)
    assert [each["item"] for each in said(tmp_path / "out", "add")] == [
        "low/score.png",
        "rivals.png",
    ]
    assert said(tmp_path / "out", "begin")[0]["pictures"] == 6


def test_another_job_is_compared(job, tmp_path):
    other = {"a good one.png": Annotated("a good one.png", SIZE, (thing("dog", 60, 45),))}
    write_report(job, tmp_path / "out", other=other)
    pictures = {each["item"]: each["flags"] for each in said(tmp_path / "out", "add")}
    assert pictures["a good one.png"] == ["extra"]
    assert pictures["nothing.png"] == []


def test_many_pictures_come_in_chunks(tmp_path):
    rows = [Annotated(f"{i:03}.png", (5, 5), ()) for i in range(103)]
    write_report(rows, tmp_path / "out")
    assert [len(details(tmp_path / "out", number)) for number in range(3)] == [50, 50, 3]
    assert not (tmp_path / "out" / "data" / "3.js").exists()


def test_a_decision_is_known_by_the_objects_it_is_about(job, tmp_path):
    def keys():
        write_report(job, tmp_path / "out")
        return {each["item"]: each["row"] for each in said(tmp_path / "out", "add")}

    before = keys()
    assert keys() == before
    changed = job.get("rivals.png")
    row = Annotated("rivals.png", SIZE, changed.row.objects[:1])
    with job.locked():
        job.append(Entry("rivals.png", "", HUMAN, "done", row))
    after = keys()
    assert {item for item in before if before[item] != after[item]} == {"rivals.png"}


def test_empty_masks_and_odd_boxes_are_shown_too(tmp_path):
    objects = (
        Object("dog", (5, 5, 2, 2), Mask(np.zeros((0, 0), bool))),
        Object("dog", (-4.5, 0, 900, 2)),
    )
    write_report([Annotated("a.png", (5, 5), objects)], tmp_path / "out")
    assert [each["outline"] for each in details(tmp_path / "out")[0]["objects"]] == ["", None]


def test_a_report_replaces_a_report_and_nothing_else(job, tmp_path):
    write_report(job, tmp_path / "out")
    write_report(job, tmp_path / "out")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<h1>mine</h1>")
    with pytest.raises(LabelingError, match="no report of ours"):
        write_report(job, tmp_path / "site")
    assert (tmp_path / "site" / "index.html").read_text() == "<h1>mine</h1>"
    (tmp_path / "file").write_text("")
    with pytest.raises(LabelingError, match="expected a folder"):
        write_report(job, tmp_path / "file")
    with pytest.raises(LabelingError, match="cannot write the report"):
        write_report(job, tmp_path / "file" / "out")
    with pytest.raises(LabelingError, match="more than once"):
        write_report(iter([]), tmp_path / "new")


def test_a_job_without_pictures_has_a_report(tmp_path):
    write_report([], tmp_path / "out")
    assert said(tmp_path / "out", "add") == []


def test_the_command_writes_and_applies(job, tmp_path, capsys):
    folder, out = str(job.folder), str(tmp_path / "out")
    assert main(["review", folder, "--out", out, "--against", folder, "--limit", "3"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out' / 'index.html'}\n"
    assert len(said(tmp_path / "out", "add")) == 3
    assert main(["review", folder, "--out", out, "--limit", "0", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"page": f"{out}/index.html", "pictures": 6, "done": 6, "failed": 1}

    def decide(item, *objects):
        return {"item": item, "decision": "accept", "objects": list(objects)}

    dog = job.get("low/score.png").row.objects[0]
    shown = {"label": "dog", "box": dog.box, "score": dog.score, "decision": "reject"}
    items = [decide("low/score.png", shown), decide("rivals.png")]
    data = {"format": "grounding_sdk decisions", "version": 1, "items": items}
    file = tmp_path / "decisions.json"
    file.write_text(json.dumps(data))
    assert main(["review", folder, "--apply", str(file)]) == 1
    printed = capsys.readouterr()
    assert printed.out == "1 changed, 0 already as decided, 1 refused\n"
    assert "rivals.png: it has other objects" in printed.err
    assert Ledger.open(folder).get("low/score.png").row.objects == ()

    assert main(["review", folder, "--apply", str(file), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["changed"], told["unchanged"]) == ([], ["low/score.png"])
    assert list(told["refused"]) == ["rivals.png"]


@pytest.mark.parametrize(
    "words, message",
    [
        (["nowhere", "--out", "out"], "there is no folder nowhere"),
        ([".", "--out", "out", "--limit", "-1"], "--limit"),
        ([".", "--apply", "none.json", "--against", "."], "--against"),
        ([".", "--apply", "none.json"], "cannot read decisions"),
    ],
)
def test_the_command_says_what_it_cannot_do(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    assert main(["review", *words]) == 2
    assert message in capsys.readouterr().err
