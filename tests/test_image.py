"""What the loader makes of good pictures, against pixel values made by hand."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from dataclasses import FrozenInstanceError
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
import torch

from grounding_sdk import image as image_module
from grounding_sdk.errors import GroundingError, ImageError, ImageNotFoundError
from grounding_sdk.image import Image, upright

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255,) * 3, (0,) * 3
# Two rows, three columns, so that a mix-up of axes, rows or channels cannot go unseen.
RGB = np.array([[RED, GREEN, BLUE], [(10, 20, 30), WHITE, BLACK]], np.uint8)


def encode(picture: PIL.Image.Image, format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def encode_cv2(extension: str, values: np.ndarray) -> bytes:
    done, data = cv2.imencode(extension, values)
    assert done
    return data.tobytes()


def pixels(source, **options) -> list:
    return Image.load(source, **options).pixels.tolist()


PNG = encode(PIL.Image.fromarray(RGB))


# Every kind of source


@pytest.fixture
def png_path(tmp_path: Path) -> Path:
    path = tmp_path / "ein Bild ü.png"
    path.write_bytes(PNG)
    return path


class PathWrapper(os.PathLike):
    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return self.path


class OneByteAtATime:
    """A stream without seek, as of a socket or pipe."""

    def __init__(self, data: bytes):
        self.inner = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self.inner.read(1)


@pytest.mark.parametrize(
    "make",
    [
        str,
        Path,
        lambda path: PathWrapper(str(path)),
        lambda path: PathWrapper(os.fsencode(path)),
        lambda path: path.read_bytes(),
        lambda path: bytearray(path.read_bytes()),
        lambda path: memoryview(path.read_bytes()),
        lambda path: memoryview(path.read_bytes()[::-1])[::-1],
        lambda path: io.BytesIO(path.read_bytes()),
        lambda path: OneByteAtATime(path.read_bytes()),
        PIL.Image.open,
        lambda path: cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB),
        lambda path: torch.from_numpy(RGB),
        lambda path: Image(RGB),
    ],
)
def test_each_kind_of_source_gives_the_same_picture(make, png_path: Path):
    image = Image.load(make(png_path))
    np.testing.assert_array_equal(image.pixels, RGB)
    assert image.pixels.dtype == np.uint8
    assert image.pixels.flags.c_contiguous
    assert not image.pixels.flags.writeable
    assert (image.height, image.width, image.size) == (2, 3, (2, 3))


def test_source_is_kept_for_paths_only(png_path: Path):
    assert Image.load(png_path).source == str(png_path)
    assert Image.load(str(png_path)).source == str(png_path)
    assert Image.load(PNG).source is None
    assert Image.load(RGB).source is None


def test_a_file_object_is_rewound_and_left_open():
    file = io.BytesIO()
    PIL.Image.fromarray(RGB).save(file, "PNG")  # the position is now at the end
    np.testing.assert_array_equal(Image.load(file).pixels, RGB)
    assert not file.closed


def test_an_image_is_returned_as_it_is():
    image = Image(RGB)
    assert Image.load(image) is image


# Immutable, equal by content


def test_changing_the_array_afterwards_does_not_change_the_image():
    mine = RGB.copy()
    view = mine[:]
    view.flags.writeable = False
    images = [Image.load(mine), Image.load(view), Image(mine), Image.load(torch.from_numpy(mine))]
    mine[:] = 7
    for image in images:
        np.testing.assert_array_equal(image.pixels, RGB)
    assert mine.flags.writeable


def test_neither_pixels_nor_fields_can_be_set():
    image = Image(RGB)
    with pytest.raises(ValueError, match="read-only"):
        image.pixels[0, 0] = 0
    with pytest.raises(FrozenInstanceError):
        image.source = "other"  # type: ignore[misc]


def test_equal_by_pixels_whatever_the_file(png_path: Path):
    from_file, from_array = Image.load(png_path), Image.load(RGB)
    assert from_file == from_array
    assert hash(from_file) == hash(from_array)
    assert from_file.sha256 == from_array.sha256
    assert len(from_file.sha256) == 64
    assert from_file != Image.load(RGB[::-1])
    assert from_file != "ein Bild"


def test_shape_counts_in_the_hash():
    assert Image(RGB).sha256 != Image(RGB.reshape(3, 2, 3)).sha256
    assert Image(RGB) != Image(RGB.reshape(3, 2, 3))


def test_pickled_image_is_equal_and_still_protected():
    image = pickle.loads(pickle.dumps(Image(RGB, "a.png")))
    assert image == Image(RGB)
    assert image.source == "a.png"
    assert not image.pixels.flags.writeable


def test_repr_is_short():
    image = Image.load(np.zeros((480, 640), np.uint8))
    assert repr(image) == "Image(height=480, width=640, source=None)"


@pytest.mark.parametrize(
    "wrong", [RGB.astype(np.float32), RGB[:, :, :1], RGB[0], RGB[:0], np.zeros((2, 2, 4), np.uint8)]
)
def test_the_constructor_takes_finished_pixels_only(wrong):
    with pytest.raises(ImageError, match=r"Image\.load"):
        Image(wrong)


# Arrays and tensors


@pytest.mark.parametrize(
    "values, expected",
    [
        (np.array([[0, 7]], np.uint8), [[[0] * 3, [7] * 3]]),
        (np.array([[False, True]]), [[[0] * 3, [255] * 3]]),
        # 16 bit is scaled by 257 and rounded, neither clipped nor cut off
        (np.array([[0, 128, 129, 257 * 9, 65535]], np.uint16),
         [[[0] * 3, [0] * 3, [1] * 3, [9] * 3, [255] * 3]]),
        (np.array([[257 * 9, 65535]], ">u2"), [[[9] * 3, [255] * 3]]),
        (np.array([[0.0, 0.2, 1.0]]), [[[0] * 3, [51] * 3, [255] * 3]]),
        (np.array([[0.0, 0.2, 1.0]], np.float16), [[[0] * 3, [51] * 3, [255] * 3]]),
        (np.array([[0.0, 51.4, 255.0]], np.float32), [[[0] * 3, [51] * 3, [255] * 3]]),
        (np.array([[0, 255]], np.int64), [[[0] * 3, [255] * 3]]),
        (np.array([[0, 100]], np.int8), [[[0] * 3, [100] * 3]]),
        # channels: grey, grey + alpha, RGB, RGBA; alpha lies on white
        (np.array([[[7]]], np.uint8), [[[7, 7, 7]]]),
        (np.array([[[200, 255], [200, 0], [200, 51]]], np.uint8),
         [[[200] * 3, [255] * 3, [244] * 3]]),
        (np.array([[[1, 2, 3, 255], [1, 2, 3, 0], [100, 0, 200, 51]]], np.uint8),
         [[[1, 2, 3], [255] * 3, [224, 204, 244]]]),
        (np.array([[[1.0, 0.0, 0.0, 0.2]]]), [[[255, 204, 204]]]),
        # HWC wins over CHW, and (3, H, W) is understood
        (np.arange(9, dtype=np.uint8).reshape(3, 1, 3), [[[0, 1, 2]], [[3, 4, 5]], [[6, 7, 8]]]),
        (np.arange(15, dtype=np.uint8).reshape(3, 1, 5),
         [[[0, 5, 10], [1, 6, 11], [2, 7, 12], [3, 8, 13], [4, 9, 14]]]),
        (np.asfortranarray(RGB), RGB.tolist()),
        (RGB[::-1, ::-1], RGB[::-1, ::-1].tolist()),
        (np.ma.masked_array(RGB), RGB.tolist()),
    ],
)  # fmt: skip
def test_arrays(values, expected):
    assert pixels(values) == expected


@pytest.mark.parametrize(
    "tensor, expected",
    [
        (torch.tensor([[[255]], [[0]], [[9]]], dtype=torch.uint8), [[[255, 0, 9]]]),
        (torch.from_numpy(RGB).permute(2, 0, 1), RGB.tolist()),
        (torch.tensor([[[1.0, 0.0]]] * 3, dtype=torch.bfloat16), [[[255] * 3, [0] * 3]]),
        (torch.tensor([[[1.0]], [[0.0]], [[0.2]]], requires_grad=True), [[[255, 0, 51]]]),
        (torch.tensor([[0.0, 1.0]], dtype=torch.float16), [[[0] * 3, [255] * 3]]),
        (torch.tensor([[True, False]]), [[[255] * 3, [0] * 3]]),
        (torch.tensor([[0, 65535]], dtype=torch.uint16), [[[0] * 3, [255] * 3]]),
        # both ends could be the channels: a tensor is CHW
        (torch.tensor([[[1, 2, 3]], [[4, 5, 6]], [[7, 8, 9]]], dtype=torch.uint8),
         [[[1, 4, 7], [2, 5, 8], [3, 6, 9]]]),
    ],
)  # fmt: skip
def test_tensors(tensor, expected):
    assert pixels(tensor) == expected


@pytest.mark.parametrize("channels", [3, 4])
def test_bgr_is_swapped_only_when_said(channels):
    bgra = np.full((5, 6, 4), (30, 20, 10, 255), np.uint8)[:, :, :channels]
    assert pixels(bgra)[0][0] == [30, 20, 10]
    assert pixels(bgra, bgr=True) == [[[10, 20, 30]] * 6] * 5
    assert pixels(bgra.transpose(2, 0, 1), bgr=True) == [[[10, 20, 30]] * 6] * 5
    assert pixels(torch.from_numpy(bgra.copy()), bgr=True) == [[[10, 20, 30]] * 6] * 5


def test_bgr_of_grey_changes_nothing():
    assert pixels(np.array([[5]], np.uint8), bgr=True) == [[[5, 5, 5]]]


def test_what_opencv_reads_equals_what_we_read(tmp_path: Path):
    path = tmp_path / "x.png"
    path.write_bytes(PNG)
    assert Image.load(cv2.imread(str(path)), bgr=True) == Image.load(path)


# Modes of files and PIL images


def palette(transparency=None) -> bytes:
    picture = PIL.Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.putpixel((1, 0), 1)
    return encode(picture, **({} if transparency is None else {"transparency": transparency}))


GREY16 = np.array([[0, 257 * 9, 65535]], np.uint16)
SCALED = [[[0] * 3, [9] * 3, [255] * 3]]


@pytest.mark.parametrize(
    "data, expected",
    [
        pytest.param(encode(PIL.Image.new("1", (1, 1), 1)), [[[255] * 3]], id="1"),
        pytest.param(encode(PIL.Image.new("L", (1, 1), 77)), [[[77] * 3]], id="L"),
        pytest.param(encode(PIL.Image.new("LA", (1, 1), (200, 51))), [[[244] * 3]], id="LA"),
        pytest.param(
            encode(PIL.Image.new("RGBA", (1, 1), (100, 0, 200, 51))), [[[224, 204, 244]]], id="RGBA"
        ),
        pytest.param(palette(), [[list(RED), list(GREEN)]], id="P"),
        pytest.param(palette(0), [[list(WHITE), list(GREEN)]], id="P-transparent-index"),
        pytest.param(palette(b"\xff\x33"), [[list(RED), [204, 255, 204]]], id="P-alpha-table"),
        pytest.param(
            encode(PIL.Image.new("L", (1, 1), 7), transparency=7), [[[255] * 3]], id="L-colour-key"
        ),
        pytest.param(
            encode(PIL.Image.new("RGB", (1, 1), RED), transparency=RED),
            [[[255] * 3]],
            id="RGB-colour-key",
        ),
        pytest.param(encode(PIL.Image.fromarray(GREY16)), SCALED, id="I;16-png"),
        pytest.param(encode(PIL.Image.fromarray(GREY16), "TIFF"), SCALED, id="I;16-tiff"),
        pytest.param(encode(PIL.Image.fromarray(GREY16), "PPM"), SCALED, id="I-pgm"),
        pytest.param(
            encode(PIL.Image.fromarray(GREY16.astype(">u2")), "TIFF"), SCALED, id="I;16B-tiff"
        ),
        pytest.param(
            encode(PIL.Image.fromarray(GREY16.astype(np.int32)), "TIFF"), SCALED, id="I-tiff"
        ),
        pytest.param(
            encode(PIL.Image.fromarray(np.array([[0, 0.2, 1]], np.float32)), "TIFF"),
            [[[0] * 3, [51] * 3, [255] * 3]],
            id="F-tiff-unit",
        ),
        pytest.param(
            encode(PIL.Image.fromarray(np.array([[0, 9, 255]], np.float32)), "TIFF"),
            SCALED,
            id="F-tiff-bytes",
        ),
        pytest.param(
            encode_cv2(".png", np.array([[[257 * 3, 257 * 2, 257]]], np.uint16)),
            [[[1, 2, 3]]],
            id="RGB16-png",
        ),
        pytest.param(
            encode_cv2(".tiff", np.array([[[257 * 3, 257 * 2, 257]]], np.uint16)),
            [[[1, 2, 3]]],
            id="RGB16-tiff",
        ),
        pytest.param(
            encode(PIL.Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF"),
            [[list(RED)] * 8] * 8,
            id="CMYK-tiff",
        ),
        pytest.param(
            encode(PIL.Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"),
            [[list(RED)] * 8] * 8,
            id="CMYK-jpeg-adobe-inverted",
        ),
    ],
)
def test_modes_of_files(data, expected):
    assert pixels(data) == expected


@pytest.mark.parametrize(
    "mode, value, expected",
    [
        ("YCbCr", (255, 128, 128), WHITE),
        ("YCbCr", (76, 85, 255), (254, 0, 0)),
        ("LAB", (255, 128, 128), WHITE),
        ("LAB", (128, 128, 128), (119, 119, 119)),  # L* = 50
        ("HSV", (0, 255, 255), RED),
        ("CMYK", (0, 255, 255, 0), RED),
        ("PA", (0, 0), WHITE),
        ("RGBa", (0, 0, 0, 0), WHITE),
        ("RGBX", (1, 2, 3, 0), (1, 2, 3)),
        ("I;16", 257 * 5, (5, 5, 5)),
        ("I", 65535, WHITE),
        ("F", 0.2, (51, 51, 51)),
    ],
)
def test_modes_of_pil_images(mode, value, expected):
    picture = PIL.Image.new(mode, (4, 3), value)
    image = Image.load(picture)
    assert image.size == (3, 4)
    np.testing.assert_allclose(image.pixels[0, 0], expected, atol=1)


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_first_frame_of_animations_and_pages(format):
    first, second = PIL.Image.new("RGB", (2, 1), RED), PIL.Image.new("RGB", (2, 1), GREEN)
    options = {"lossless": True} if format == "WEBP" else {}
    data = encode(first, format, save_all=True, append_images=[second], **options)
    assert PIL.Image.open(io.BytesIO(data)).n_frames == 2
    assert pixels(data) == [[list(RED)] * 2]


@pytest.mark.parametrize("format", ["AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PPM", "WEBP"])
def test_formats(format):
    data = encode(PIL.Image.new("RGB", (16, 16), WHITE), format)
    image = Image.load(data)
    assert image.size == (16, 16)
    assert image.pixels.min() >= 250


# Orientation

UPRIGHT_F = np.array([[9, 9, 9], [9, 0, 0], [9, 9, 0], [9, 0, 0]], np.uint8) * 28
# As the sensor stored it, for each orientation: EXIF 2.3, tag 0x0112 (where the 0th row and the
# 0th column of the stored picture are on the upright one).
STORED = {
    1: UPRIGHT_F,
    2: UPRIGHT_F[:, ::-1],
    3: UPRIGHT_F[::-1, ::-1],
    4: UPRIGHT_F[::-1],
    5: UPRIGHT_F.T,
    6: np.rot90(UPRIGHT_F),
    7: UPRIGHT_F[::-1, ::-1].T,
    8: np.rot90(UPRIGHT_F, -1),
}


def with_orientation(stored: np.ndarray, orientation: int, format: str) -> bytes:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format == "WEBP" else {}
    if format == "JPEG":
        options, stored = {"quality": 100, "subsampling": 0}, np.kron(stored, np.ones((8, 8)))
    return encode(PIL.Image.fromarray(stored.astype(np.uint8)), format, exif=exif, **options)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation, format, tmp_path: Path):
    data = with_orientation(STORED[orientation], orientation, format)
    image = Image.load(data)
    seen = image.pixels[4::8, 4::8, 0] if format == "JPEG" else image.pixels[:, :, 0]
    np.testing.assert_allclose(seen, UPRIGHT_F, atol=3)
    assert Image.load(PIL.Image.open(io.BytesIO(data))) == image
    if format == "JPEG":  # OpenCV applies the orientation too: an independent reading
        path = tmp_path / "x.jpg"
        path.write_bytes(data)
        read = cv2.imread(str(path))
        assert read.shape == image.pixels.shape
        np.testing.assert_allclose(read[:, :, ::-1].astype(int), image.pixels, atol=3)


def test_unknown_orientation_is_ignored():
    assert pixels(with_orientation(UPRIGHT_F, 77, "PNG")) == pixels(UPRIGHT_F)
    np.testing.assert_array_equal(upright(RGB, 0), RGB)


def test_a_broken_exif_block_does_not_cost_the_picture():
    data = encode(PIL.Image.new("RGB", (8, 8), WHITE), "JPEG", exif=b"Exif\0\0MM\0\x2a\xff\xff")
    assert Image.load(data).size == (8, 8)


# The limit on pixels


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises so many grey pixels and brings none: decoding it fails."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    size = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + size + chunk(b"IDAT", b"")


def test_the_limit_is_checked_before_decoding():
    with pytest.raises(ImageError, match=r"at most 200,000,000 pixels.*20,000 x 20,000"):
        Image.load(png_header(20_000, 20_000))


def test_the_limit_holds_for_pil_images_and_arrays_too():
    for source in (RGB, PIL.Image.fromarray(RGB), PNG, torch.from_numpy(RGB)):
        with pytest.raises(ImageError, match="max_pixels"):
            Image.load(source, max_pixels=5)
        assert Image.load(source, max_pixels=6).size == (2, 3)
        assert Image.load(source, max_pixels=None).size == (2, 3)


def test_a_hundred_megapixels_pass_without_a_warning():
    # Pillow would warn from 89 megapixels on. Refused is this one for its data, not for its size.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError) as refused:
            Image.load(io.BytesIO(png_header(10_000, 10_000)))
    assert "10,000" not in str(refused.value)
    assert "truncated" in str(refused.value)


def test_pillows_own_limit_is_not_ours(monkeypatch):
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 1)
    assert pixels(PNG) == RGB.tolist()
    assert PIL.Image.MAX_IMAGE_PIXELS == 1


def test_nothing_heavy_is_imported():
    code = "import sys, grounding_sdk.image; print({'torch', 'cv2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# Files that are not there


def test_a_missing_file_is_a_file_not_found_error(tmp_path: Path):
    for kind in (ImageNotFoundError, ImageError, GroundingError, FileNotFoundError, ValueError):
        with pytest.raises(kind, match=r"no image file at .*missing\.jpg.*check the path"):
            Image.load(tmp_path / "missing.jpg")


# URLs, on a server of our own


class Server(ThreadingHTTPServer):
    daemon_threads = True
    release = threading.Event()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        route = self.path.split("?")[0]
        if route in ("/ok.png", "/ein%20Bild%20%C3%BC.png"):
            self.reply(200, PNG)
        elif route == "/moved":
            self.reply(302, b"", Location="/ok.png")
        elif route == "/to-file":
            self.reply(302, b"", Location="file:///etc/hostname")
        elif route == "/to-ftp":
            self.reply(302, b"", Location="ftp://127.0.0.1/x.png")
        elif route == "/to-data":
            self.reply(302, b"", Location="data:image/png;base64,AAAA")
        elif route == "/loop":
            self.reply(302, b"", Location="/loop")
        elif route == "/page":
            self.reply(200, b"<!DOCTYPE html><html>no picture</html>")
        elif route == "/empty":
            self.reply(200, b"")
        elif route == "/short":
            self.reply(200, PNG[:40], **{"Content-Length": str(len(PNG))})
        elif route == "/huge":
            self.reply(200, bytes(5_000_000))
        elif route == "/silent":
            self.server.release.wait(20)  # type: ignore[attr-defined]
        elif route == "/drip":  # one byte after the other, for ever: each in time, all too late
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while not self.server.release.is_set():  # type: ignore[attr-defined]
                    self.wfile.write(b"x")
        elif route == "/garbage":
            self.wfile.write(b"this is no HTTP\r\n\r\n")
        else:
            self.reply(404, b"nothing here")

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):  # the client may have had enough
            self.wfile.write(body)

    def log_message(self, *args) -> None:
        pass


@pytest.fixture(scope="module")
def server():
    running = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.release.set()
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.mark.parametrize("route", ["/ok.png", "/ok.png?size=2&x=ü", "/moved", "/ein Bild ü.png"])
def test_a_url_is_loaded(server, route):
    image = Image.load(server + route)
    np.testing.assert_array_equal(image.pixels, RGB)
    assert image.source == server + route


@pytest.mark.parametrize(
    "route, message",
    [
        ("/missing.png", "404"),
        ("/to-file", "file"),
        ("/to-ftp", "ftp"),
        ("/to-data", "data"),
        ("/loop", "redirect"),
        ("/page", "DOCTYPE"),
        ("/empty", "empty"),
        ("/short", "image"),
        ("/huge", "more than 1,000,000 bytes"),
        ("/silent", "timed out"),
        ("/drip", "not complete after"),
        ("/garbage", "cannot download"),
    ],
)
def test_a_url_that_fails_says_why(server, route, message, monkeypatch):
    monkeypatch.setattr(image_module, "MAX_STREAM_BYTES", 1_000_000)
    monkeypatch.setattr(image_module, "URL_SILENCE_SECONDS", 0.3 if route == "/silent" else 10)
    monkeypatch.setattr(image_module, "URL_TOTAL_SECONDS", 0.0 if route == "/drip" else 60)
    with pytest.raises(ImageError, match=message):
        Image.load(server + route)


@pytest.mark.parametrize("url", ["http://", "http://127.0.0.1:1/x.png", "https://[", "http://a:b/"])
def test_a_url_without_a_server_says_why(url):
    with pytest.raises(ImageError, match="cannot download"):
        Image.load(url)
