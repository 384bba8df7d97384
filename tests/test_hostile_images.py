"""Whatever comes in, out comes an Image or an ImageError that says what is wrong."""

from __future__ import annotations

import decimal
import io
import os
import pathlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from grounding_sdk.errors import ImageError, ImageNotFoundError
from grounding_sdk.image import Image

pytestmark = pytest.mark.filterwarnings("ignore")  # decoders warn of broken files as they please


def encode(format: str, picture: PIL.Image.Image | None = None, **options) -> bytes:
    if picture is None:
        ramp = np.arange(24 * 20 * 3, dtype=np.uint32).reshape(24, 20, 3) * 7 % 256
        picture = PIL.Image.fromarray(ramp.astype(np.uint8))
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def orientation(value: int) -> PIL.Image.Exif:
    exif = PIL.Image.Exif()
    exif[0x0112] = value
    return exif


GREEN = PIL.Image.new("RGB", (20, 24), (0, 255, 0))
WHOLE = {
    "png": encode("PNG"),
    "jpeg": encode("JPEG"),
    "gif": encode("GIF"),
    "webp": encode("WEBP"),
    "tiff": encode("TIFF"),
    "bmp": encode("BMP"),
    "png-exif": encode("PNG", exif=orientation(6)),
    "png-palette": encode("PNG", PIL.Image.new("P", (9, 9)), transparency=0),
    "png-16": encode("PNG", PIL.Image.fromarray(np.full((9, 9), 999, np.uint16))),
    "apng": encode("PNG", save_all=True, append_images=[GREEN]),
    "jpeg-progressive-exif": encode("JPEG", progressive=True, exif=orientation(8)),
    "jpeg-cmyk": encode("JPEG", PIL.Image.new("CMYK", (16, 16), (9, 200, 9, 0))),
    "gif-animated": encode("GIF", save_all=True, append_images=[GREEN]),
    "webp-lossless": encode("WEBP", lossless=True),
    "tiff-lzw": encode("TIFF", compression="tiff_lzw"),
    "tiff-jpeg": encode("TIFF", compression="jpeg"),
    "tiff-pages": encode("TIFF", save_all=True, append_images=[GREEN]),
    "tiff-float": encode("TIFF", PIL.Image.fromarray(np.ones((4, 4), np.float32))),
    "ppm": encode("PPM"),
    "ico": encode("ICO"),
    "jpeg2000": encode("JPEG2000"),
    "avif": encode("AVIF"),
}


def image_or_error(source, **options) -> Image | ImageError:
    """Loads; any error but our own is let through, and our own must say something."""
    outcome: Image | ImageError
    try:
        outcome = Image.load(source, **options)
    except ImageError as error:
        outcome = error
    if isinstance(outcome, ImageError):
        assert len(str(outcome)) > 30
    else:
        assert outcome.pixels.dtype == np.uint8
        assert outcome.pixels.shape == (*outcome.size, 3)
        assert outcome.pixels.size
    return outcome


@pytest.mark.parametrize("name", WHOLE)
def test_the_whole_files_are_good(name):
    assert isinstance(image_or_error(WHOLE[name]), Image)


# Broken files


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("name", WHOLE)
def test_cut_off_files(name, share, tmp_path: Path):
    data = WHOLE[name][: max(1, int(len(WHOLE[name]) * share))]
    path = tmp_path / "cut"
    path.write_bytes(data)
    outcomes = [image_or_error(source) for source in (data, path, io.BytesIO(data))]
    if share <= 0.1:
        assert all(isinstance(outcome, ImageError) for outcome in outcomes)


@pytest.mark.parametrize(
    "data",
    [
        b"\x00",
        b"\xff" * 64,
        b"dog . red car",
        b"<!DOCTYPE html><html></html>",
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b"%PDF-1.7\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",  # would start Ghostscript
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        b"PK\x03\x04" + bytes(40),
        b"GIF89a",
        b"GIF89a" + bytes(7),
        b"BM" + bytes(60),
        b"RIFF\x00\x00\x00\x00WEBP",
        b"RIFF\x00\x00\x00\x00WEBPVP8 " + bytes(20),
        b"II*\x00\x08\x00\x00\x00",
        b"MM\x00*\xff\xff\xff\xff",
        b"II*\x00\x08\x00\x00\x00\xff\xff" + bytes(30),
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe1\x00\x02",
        b"\xff\xd8\xff\xd9",
        b"\x89PNG\r\n\x1a\n",
        b"\x89PNG\r\n\x1a\n" + bytes(40),
        b"P6 1 1 255\n",
        b"P6 -1 -1 255\n",
        b"P6 99999999999 99999999999 255\n",
        b"P5 0 0 255\n",
        b"P6 x y z\n",
        b"\x00\x00\x01\x00\x00\x00",
        b"\x00\x00\x01\x00\xff\xff" + bytes(100),
        b"\x00\x00\x00\x0cjP  \r\n\x87\n",
        b"\xff\x4f\xff\x51" + bytes(40),
        b"\x00\x00\x00\x1cftypavif" + bytes(30),
        b"\x00\x00\x00\x1cftypheic" + bytes(30),
        b"8BPS" + bytes(30),
        b"\x80\x04\x95cposix\nsystem\n.",  # a pickle
    ],
    ids=lambda data: repr(data[:12]),
)
def test_bytes_that_are_no_picture(data):
    assert isinstance(image_or_error(data), ImageError)


def test_eps_is_not_opened_although_pillow_would():
    data = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"
    assert PIL.Image.open(io.BytesIO(data)).format == "EPS"
    with pytest.raises(ImageError, match="no known format"):
        Image.load(data)


HEADERS = {
    "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\x7f\xff\xff\xff" * 2 + b"\x08\x06\0\0\0",
    "gif": b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x08",
    "bmp": b"BM" + bytes(8) + b"6\0\0\0(\0\0\0" + b"\xff\xff\xff\x7f" * 2 + b"\1\0\x18" + bytes(29),
    "ppm": b"P6 60000 60000 255\n",
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_bombs_are_refused_by_their_headers(name):
    assert isinstance(image_or_error(HEADERS[name]), ImageError)


@pytest.mark.parametrize("name", WHOLE)
def test_the_limit_holds_for_every_format(name):
    error = image_or_error(WHOLE[name], max_pixels=15)
    assert "at most 15 pixels" in str(error)


every_file = st.sampled_from(sorted(WHOLE))
# No deadline: the machines that run this are busy. Derandomised: a failure comes back.
thorough = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@thorough
@given(every_file, st.floats(0, 1))
def test_any_cut(name, share):
    image_or_error(WHOLE[name][: int(len(WHOLE[name]) * share)])


@settings(thorough, max_examples=400)
@given(every_file, st.lists(st.tuples(st.floats(0, 1), st.integers(0, 7)), min_size=1, max_size=12))
def test_any_flipped_bits(name, flips):
    data = bytearray(WHOLE[name])
    for share, bit in flips:
        data[int(share * (len(data) - 1))] ^= 1 << bit
    # A flip may well enlarge the picture: a low limit keeps the test quick.
    image_or_error(bytes(data), max_pixels=1_000_000)


@thorough
@given(every_file, st.binary(max_size=64), st.integers(0, 120))
def test_any_bytes_after_a_good_start(name, rest, kept):
    image_or_error(WHOLE[name][:kept] + rest, max_pixels=1_000_000)


@thorough
@given(st.binary(max_size=300))
def test_any_bytes(data):
    image_or_error(data, max_pixels=1_000_000)


# Arrays


SOME_TYPES = [
    *("?", "u1", "i1", "u2", ">u2", "i4", "u8", "f2", "f4", ">f8", "g", "c8", "S3", "U2", "O"),
    *("M8[s]", "m8[ns]", "u1,f4", "V4"),
]


@thorough
@given(
    st.sampled_from(SOME_TYPES),
    st.lists(st.integers(0, 5), max_size=5),
    st.binary(min_size=16, max_size=64),
    st.booleans(),
)
def test_any_array(dtype, shape, content, bgr):
    count = int(np.prod(shape))
    if dtype == "O":
        values = np.array([None, *content][:count] + [0] * (count - len(content) - 1), object)
    else:
        raw = np.resize(np.frombuffer(content, np.uint8), count * np.dtype(dtype).itemsize)
        values = raw.view(dtype) if count else np.empty(0, dtype)
    values = values.reshape(shape)
    image_or_error(values, bgr=bgr)


@thorough
@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.uint8, np.int32, np.bool_]),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6),
    ),
    st.sampled_from([None, torch.bfloat16, torch.float16, torch.complex64]),
)
def test_any_tensor(values, dtype):
    image_or_error(torch.from_numpy(values).to(dtype or torch.from_numpy(values).dtype))


@thorough
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6)))
def test_every_uint8_array_with_channels_is_an_image(values):
    has_channels = values.shape[0] <= 4 or values.shape[2] <= 4
    assert isinstance(image_or_error(values), Image) == has_channels


@pytest.mark.parametrize(
    "values, message",
    [
        (np.zeros((0, 5, 3), np.uint8), "shape"),
        (np.zeros((5, 0), np.uint8), "shape"),
        (np.zeros((5, 5, 0), np.uint8), "shape"),
        (np.zeros(5, np.uint8), "shape"),
        (np.uint8(5), "shape"),
        (np.zeros((5, 5, 5), np.uint8), "1 to 4 channels"),
        (np.zeros((2, 5, 5, 3), np.uint8), "one by one"),
        (np.full((2, 2), np.nan), "from nan"),
        (np.array([[0.5, np.nan]]), "from nan"),
        (np.array([[0.5, np.inf]]), "to inf"),
        (np.array([[-np.inf, 0.5]]), "from -inf"),
        (np.array([[-0.1, 0.5]]), "undo the normalisation"),
        (np.array([[0, 255.5]]), "0..255"),
        (np.array([[-1, 5]]), "0..255"),
        (np.array([[0, 256]]), "uint16"),
        (np.array([[2**64 - 1]], np.uint64), "0..255"),
        (np.array([[1j]]), "dtype complex"),
        (np.array([["a"]]), "dtype <U1"),
        (np.array([[b"a"]]), "dtype"),
        (np.array([[None]]), "dtype object"),
        (np.array([[object()]]), "dtype object"),
        (np.array([["2020-01-01"]], "datetime64[D]"), "dtype datetime64"),
        (np.zeros((2, 2), [("r", "u1"), ("g", "u1")]), "dtype"),
        (np.broadcast_to(np.uint8(0), (10**6, 10**6, 3)), "pixels"),
        (torch.zeros(0, 3), "shape"),
        (torch.zeros(1, 3, 4, 4), "one by one"),
        (torch.full((3, 2, 2), -1.0), "undo the normalisation"),
        (torch.zeros(2, 2, dtype=torch.complex64), "dtype complex"),
        (torch.zeros(2, 2, device="meta"), "Tensor"),
        (torch.eye(2).to_sparse(), "Tensor"),
    ],
)
def test_wrong_arrays_say_why(values, message):
    with pytest.raises(ImageError, match=message):
        Image.load(values)


# Paths and things that are no pictures at all


@pytest.mark.parametrize(
    "source",
    [
        "dog . red car",
        "no/such/folder/x.jpg",
        "~/no-such-picture.jpg",
        "https:/one-slash.org/x.png",
        "ftp://host/x.png",
        "s3://bucket/x.png",
        "file:///etc/hostname",
        "data:image/png;base64,AAAA",
        "*.jpg",
        " ",
        "\n",
        "ドッグ.png",
        "🐶",
        __file__ + "/x.png",  # a folder that is a file
        pathlib.PurePosixPath("no-such.png"),
    ],
)
def test_paths_to_nothing_are_not_found(source):
    assert isinstance(image_or_error(source), ImageNotFoundError)


@pytest.mark.parametrize(
    "source",
    ["", ".", "/", Path(), "/dev/null", __file__, "a\0b", "\ud800", "x" * 100_000, "a/" * 5000],
)
def test_paths_to_something_else(source):
    error = image_or_error(source)
    assert isinstance(error, ImageError)
    assert len(str(error)) < 1500


def test_folders_empty_files_loops_and_pipes(tmp_path: Path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "dangling.png").symlink_to(tmp_path / "gone.png")
    os.mkfifo(tmp_path / "pipe.png")  # opening it would wait for ever
    for name, message in {
        ".": "folder",
        "empty.png": "empty",
        "loop.png": "cannot open",
        "dangling.png": "no image file",
        "pipe.png": "no regular file",
    }.items():
        with pytest.raises(ImageError, match=message):
            Image.load(tmp_path / name)


class Broken:
    """Has the method of a file object, which does what it is told."""

    def __init__(self, read: Callable[[int], object]):
        self.read = read


class BadArray:
    def __array__(self, *args, **kwargs):
        raise RuntimeError("no array today")


class BadPath(os.PathLike):
    def __fspath__(self):
        return 5


class NoPath(os.PathLike):
    def __fspath__(self):
        raise RuntimeError("no path today")


def closed(file):
    file.close()
    return file


def fail(size: int) -> bytes:
    raise RuntimeError("the disk is gone")


@pytest.mark.parametrize(
    "make",
    [
        lambda: None,
        lambda: 5,
        lambda: -1.5,
        lambda: True,
        lambda: 1j,
        lambda: decimal.Decimal(1),
        lambda: [],
        lambda: [[1, 2], [3, 4]],
        lambda: ["a.jpg", "b.jpg"],
        lambda: ("a.jpg",),
        lambda: {"path": "a.jpg"},
        lambda: {1, 2},
        lambda: iter([]),
        lambda: object(),
        lambda: object,
        lambda: Image,
        lambda: np,
        lambda: len,
        lambda: b"",
        lambda: bytearray(),
        lambda: memoryview(b""),
        lambda: memoryview(np.zeros((2, 2))),
        lambda: io.BytesIO(),
        lambda: io.StringIO("text"),
        lambda: io.StringIO(),
        lambda: closed(io.BytesIO(b"x")),
        lambda: closed(PIL.Image.open(io.BytesIO(WHOLE["png"]))),
        lambda: PIL.Image.open(io.BytesIO(WHOLE["png"][:-40])),
        lambda: PIL.Image.new("RGB", (0, 0)),
        lambda: PIL.Image.new("L", (0, 5)),
        lambda: PIL.Image.new("I", (2, 2), -5),
        lambda: PIL.Image.new("I", (2, 2), 70000),
        lambda: PIL.Image.new("I", (0, 2)),
        lambda: PIL.Image.new("F", (2, 2), float("nan")),
        lambda: PIL.Image.new("F", (2, 2), -0.5),
        lambda: Broken(lambda size: None),
        lambda: Broken(lambda size: "text"),
        lambda: Broken(lambda size: 5),
        lambda: Broken(lambda size: [1]),
        lambda: Broken(fail),
        BadArray,
        BadPath,
        NoPath,
    ],
)
def test_things_that_are_no_picture(make):
    assert isinstance(image_or_error(make()), ImageError)


def test_a_stream_without_end_is_given_up(monkeypatch):
    monkeypatch.setattr("grounding_sdk.image.MAX_STREAM_BYTES", 10_000)
    with pytest.raises(ImageError, match="more than 10,000 bytes"):
        Image.load(Broken(lambda size: b"x" * 1000))


@pytest.mark.parametrize(
    "source", [WHOLE["png"], GREEN, "x.png", Path("x.png"), io.BytesIO(), Image.load(GREEN), None]
)
def test_bgr_of_a_file_is_refused(source):
    with pytest.raises(ImageError, match=r"bgr=True is for arrays and tensors"):
        Image.load(source, bgr=True)
