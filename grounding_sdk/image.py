"""The one loader of pictures: whatever comes in, RGB pixels come out, the right way up.

Nothing else in the package opens an image file. A path, URL, bytes, file object, PIL image, numpy
array or torch tensor becomes an `Image`:

>>> image = Image.load(np.zeros((480, 640), bool))
>>> image
Image(height=480, width=640, source=None)
>>> image.pixels.shape, image.pixels.dtype
((480, 640, 3), dtype('uint8'))
"""

from __future__ import annotations

import hashlib
import http.client
import io
import os
import stat
import struct
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import PIL.Image

from grounding_sdk.errors import ImageError, ImageNotFoundError

MAX_PIXELS = 200_000_000  # the largest phone photo fits; a decompression bomb does not
MAX_STREAM_BYTES = 2**28  # of a download or a file object, which do not say their size reliably
URL_SILENCE_SECONDS = 10.0  # longest wait for the next byte
URL_TOTAL_SECONDS = 60.0

# Pillow opens more, but EPS would run Ghostscript, TGA and others claim any bytes, and the rest is
# rare: who has one passes the PIL image. HEIF is there once the user has registered pillow-heif.
FORMATS = "AVIF, BMP, GIF, HEIF, ICO, JPEG, JPEG2000, MPO, PNG, PPM, TIFF, WEBP"
ACCEPTED = (
    "a path, http(s) URL, bytes, binary file object, PIL image, numpy array (HW, HWC or CHW) "
    "or torch tensor"
)


# What `Image.load` takes. The types of optional packages cannot be named without importing them.
ImageLike: TypeAlias = Any


@dataclass(frozen=True, eq=False, repr=False)
class Image:
    """A picture, immutable; equal to another with the same pixels.

    Attributes:
        pixels: (H, W, 3) uint8, RGB, C-contiguous and write-protected.
        source: Path or URL that it was loaded from, as given; None where there was none.

    Raises:
        ImageError: If `pixels` is anything else; `Image.load` converts.
    """

    pixels: np.ndarray
    source: str | None = None

    def __post_init__(self) -> None:
        pixels = np.asarray(self.pixels)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            raise ImageError(
                f"expected pixels as a uint8 array of shape (height, width, 3), got "
                f"{pixels.dtype} {pixels.shape}: Image.load(...) converts"
            )
        # A read-only view is copied too: the array below it may be writeable.
        owned = pixels.base is None or isinstance(pixels.base, bytes)
        if pixels.flags.writeable or not owned or not pixels.flags.c_contiguous:
            pixels = np.array(pixels, order="C")
            pixels.flags.writeable = False
        object.__setattr__(self, "pixels", pixels)

    @classmethod
    def load(
        cls, source: ImageLike, *, bgr: bool = False, max_pixels: int | None = MAX_PIXELS
    ) -> Image:
        """Loads a picture from whatever holds it.

        EXIF orientation is applied, transparency composited on white, and of an animation or a
        multi-page file the first frame taken. 16-bit values are divided by 257.

        Args:
            source: A path; a URL that starts with http:// or https://; the bytes of an image file;
                a binary file object (rewound where it can be); a PIL image; an array or tensor; or
                an `Image`, returned as it is. Arrays are (H, W), (H, W, C) or (C, H, W) of 1 to 4
                channels (grey, grey + alpha, RGB, RGBA): bool, uint8, uint16, other integers
                within 0..255, or floats, which are read as 0..1 unless the largest exceeds 1, then
                as 0..255. Where both the first and the last axis could be channels, an array is
                taken as (H, W, C), a tensor as (C, H, W).
            bgr: Whether the channels of an array come in OpenCV's order. Files know their order.
            max_pixels: Larger pictures are refused before they are decoded; None admits all.

        Raises:
            ImageNotFoundError: If there is no file at this path.
            ImageError: If no picture can be made of it.
        """
        if isinstance(source, cls) and not bgr:
            return source
        if hasattr(source, "__array__") and not isinstance(source, PIL.Image.Image):
            return cls(_from_array(source, bgr, max_pixels))
        if bgr:
            raise ImageError(
                f"bgr=True is for arrays and tensors, got {type(source).__name__}, which knows the "
                f"order of its channels: leave it out"
            )
        if isinstance(source, PIL.Image.Image):
            with _explained("this PIL image"):
                return cls(_from_pil(source, max_pixels))
        if isinstance(source, bytes | bytearray | memoryview):
            return cls(_from_bytes(bytes(source), "these bytes", max_pixels))
        if isinstance(source, str) and source.lower().startswith(("http://", "https://")):
            return cls(_from_bytes(_download(source), _short(source), max_pixels), source)
        if isinstance(source, str | os.PathLike):
            with _explained(f"this {type(source).__name__}"):
                path = os.fsdecode(source)
            with _open_path(path) as file:
                return cls(_from_file(file, _short(path), max_pixels), path)
        if callable(getattr(source, "read", None)):
            return cls(_from_bytes(_read_file_object(source), "this file object", max_pixels))
        raise ImageError(f"expected {ACCEPTED}, got {type(source).__name__}: {_short(source)}")

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.pixels.shape[1])

    @property
    def size(self) -> tuple[int, int]:
        """(height, width), the order of array shapes and not that of PIL."""
        return self.height, self.width

    @cached_property
    def sha256(self) -> str:
        """Hex digest of shape and pixels, whatever file they came from."""
        digest = hashlib.sha256(f"{self.height}x{self.width}:".encode())
        digest.update(self.pixels.data)
        return digest.hexdigest()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Image):
            return NotImplemented
        return self is other or (self.size == other.size and self.sha256 == other.sha256)

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __repr__(self) -> str:
        return f"Image(height={self.height}, width={self.width}, source={self.source!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Image, (self.pixels, self.source)  # unpickled arrays would be writeable


# Pure functions on arrays


def channels_last(values: np.ndarray, prefer_first: bool = False) -> np.ndarray:
    """Returns one picture as (H, W, C), 1 <= C <= 4, from (H, W), (H, W, C) or (C, H, W).

    Args:
        values: The array.
        prefer_first: Whether a first axis of 1, 3 or 4 is the channels even if the last may be.

    Raises:
        ImageError: If the shape fits none of these, or an axis is empty.

    >>> channels_last(np.zeros((3, 20, 10))).shape
    (20, 10, 3)
    """
    shape = values.shape
    if values.size and values.ndim == 2:
        return values[:, :, None]
    if values.size and values.ndim == 3:
        if prefer_first and shape[0] in (1, 3, 4):
            return np.moveaxis(values, 0, 2)
        if shape[2] in (1, 2, 3, 4):
            return values
        if shape[0] in (1, 2, 3, 4):
            return np.moveaxis(values, 0, 2)
    hint = "; pass the pictures of a batch one by one" if values.ndim == 4 else ""
    raise ImageError(
        f"expected one picture of shape (H, W), (H, W, C) or (C, H, W) with 1 to 4 channels, "
        f"got shape {shape}{hint}"
    )


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Brings numbers of any kind to 0..255, by their type and never by the picture's contrast.

    Raises:
        ImageError: If they are outside the range that their type stands for, or no numbers.

    >>> to_uint8(np.array([0, 128, 65535], np.uint16)), to_uint8(np.array([0.0, 0.5, 1.0]))
    (array([  0,   0, 255], dtype=uint8), array([  0, 128, 255], dtype=uint8))
    """
    kind = values.dtype.kind
    if values.dtype == np.uint8:
        return values
    if kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.newbyteorder("=") == np.uint16:
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if kind not in "iuf":
        raise ImageError(
            f"expected bool, integer or float values, got dtype {values.dtype}: convert them with "
            f"array.astype(np.uint8)"
        )
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 255):  # also true of NaN
        raise ImageError(
            f"expected {'floats in 0..1 or 0..255' if kind == 'f' else 'integers in 0..255'}, got "
            f"{values.dtype} from {low} to {high}: undo the normalisation, clip with np.clip, or "
            f"pass 16-bit values as uint16"
        )
    if kind != "f":
        return values.astype(np.uint8)
    wide = values.astype(np.float32, copy=False)
    return np.rint(wide * 255 if high <= 1 else wide).astype(np.uint8)


def to_rgb(values: np.ndarray) -> np.ndarray:
    """Turns (H, W, C) uint8 of grey, grey + alpha, RGB or RGBA into RGB on a white ground.

    >>> to_rgb(np.array([[[200, 255], [200, 51]]], np.uint8)).tolist()
    [[[200, 200, 200], [244, 244, 244]]]
    """
    channels = values.shape[2]
    colour = values[:, :, :3] if channels >= 3 else values[:, :, [0, 0, 0]]
    if channels in (1, 3):
        return colour
    alpha = values[:, :, -1:].astype(np.uint16)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undoes an EXIF orientation (1 to 8, as in the EXIF 2.3 standard; any other is ignored).

    >>> upright(np.array([[1, 2, 3]]), 6).tolist()  # the camera was turned to the left
    [[1], [2], [3]]
    """
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


# From each kind of source to pixels


def _from_array(source: Any, bgr: bool, max_pixels: int | None) -> np.ndarray:
    is_tensor = hasattr(source, "is_floating_point") and hasattr(source, "detach")
    with _explained(f"this {type(source).__name__}"):
        if is_tensor:  # known by its methods, so that torch need not be imported; bf16 by float()
            source = (source.float() if source.is_floating_point() else source).numpy(force=True)
        values = channels_last(np.asarray(source), prefer_first=is_tensor)
        _check_limit(values.shape[0], values.shape[1], max_pixels)
        if bgr and values.shape[2] >= 3:
            values = values[:, :, [2, 1, 0, 3][: values.shape[2]]]
        return to_rgb(to_uint8(values))


def _from_pil(picture: PIL.Image.Image, max_pixels: int | None) -> np.ndarray:
    _check_limit(picture.height, picture.width, max_pixels)  # as the header says: not yet decoded
    picture.load()
    try:
        orientation = picture.getexif().get(0x0112, 1)
    except Exception:  # a broken EXIF block of whatever kind: the pixels are still good
        orientation = 1
    return upright(_pil_to_rgb(picture), orientation)


def _pil_to_rgb(picture: PIL.Image.Image) -> np.ndarray:
    # Pillow would clip these to 255 rather than scale them.
    if picture.mode == "I" or picture.mode.startswith("I;") or picture.mode == "F":
        values = np.asarray(picture)[:, :, None]
        if picture.mode == "I" and values.min() >= 0 and values.max() <= 65535:
            values = values.astype(np.uint16)  # what Pillow makes of 16-bit PGM
        return to_rgb(to_uint8(values))
    if picture.has_transparency_data:
        return to_rgb(np.asarray(picture.convert("RGBA")))
    return np.asarray(picture.convert("RGB"))


def _from_bytes(data: bytes, name: str, max_pixels: int | None) -> np.ndarray:
    return _from_file(io.BytesIO(data), name, max_pixels)


def _from_file(file: BinaryIO, name: str, max_pixels: int | None) -> np.ndarray:
    with _explained(name):
        return _from_pil(_identify(file), max_pixels)


def _identify(file: BinaryIO) -> PIL.Image.Image:
    # PIL.Image.open would add its own limit, a process-wide setting, and warn from half of it on.
    PIL.Image.init()
    start = file.read(16)
    if not start:
        raise ValueError("it is empty")
    reason = "no known format"
    for name in (name for name in PIL.Image.ID if name in FORMATS.split(", ")):
        opener, accepts = PIL.Image.OPEN[name]
        accepted = accepts(start) if accepts else True
        if isinstance(accepted, str):
            reason = accepted
        elif accepted:
            file.seek(0)
            try:
                return opener(file, "")
            except (SyntaxError, IndexError, TypeError, struct.error) as problem:
                reason = f"broken {name}: {problem}"
    raise ValueError(f"{reason}; it begins with {start!r}")


def _open_path(path: str) -> BinaryIO:
    if not path:
        raise ImageError(f"expected {ACCEPTED}, got an empty path")
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode):
            return open(path, "rb")
    except (FileNotFoundError, NotADirectoryError):
        raise ImageNotFoundError(
            f"no image file at {_short(path)} (looked from {os.getcwd()}): check the path"
        ) from None
    except (OSError, ValueError) as problem:  # no permission; too long or with NUL to be a path
        reason = getattr(problem, "strerror", None) or problem  # an OSError would repeat the path
        raise ImageError(f"cannot open {_short(path)} as an image file: {reason}") from problem
    kind = "a folder: pass the files in it" if stat.S_ISDIR(mode) else "no regular file"
    raise ImageError(f"expected an image file, but {_short(path)} is {kind}")


def _download(url: str) -> bytes:
    # Built by hand: the default opener follows redirects to ftp:// and knows file:// and data:.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    try:
        address = urllib.parse.quote(url, safe="%/:=&?~#+!$,;'@()*[]")  # spaces, umlauts
        request = urllib.request.Request(address, headers={"User-Agent": "grounding-sdk"})
        with opener.open(request, timeout=URL_SILENCE_SECONDS) as response:
            return _read_all(response.read1, time.monotonic() + URL_TOTAL_SECONDS)
    except (OSError, http.client.HTTPException, ValueError) as problem:
        raise ImageError(
            f"cannot download {_short(url)}: {problem or type(problem).__name__}. Check the URL, "
            f"or fetch the file yourself and pass its path"
        ) from problem


def _read_file_object(file: Any) -> bytes:
    with _explained("this file object"):
        if hasattr(file, "seekable") and file.seekable():
            file.seek(0)
        return _read_all(file.read)


def _read_all(read: Callable[[int], Any], deadline: float | None = None) -> bytes:
    """Reads to the end, but neither without limit nor past the deadline."""
    data = bytearray()
    while chunk := read(2**20):
        if not isinstance(chunk, bytes | bytearray):
            raise ValueError(f"read() gave {type(chunk).__name__}, not bytes: open it as binary")
        data += chunk
        if len(data) > MAX_STREAM_BYTES:
            raise ValueError(f"more than {MAX_STREAM_BYTES:,} bytes: save it and pass its path")
        if deadline is not None and time.monotonic() > deadline:
            raise ValueError(f"not complete after {URL_TOTAL_SECONDS:g} seconds")
    return bytes(data)


# Checks and messages


def _check_limit(height: int, width: int, max_pixels: int | None) -> None:
    if max_pixels is not None and height * width > max_pixels:
        raise ImageError(
            f"expected at most {max_pixels:,} pixels, got {width:,} x {height:,} = "
            f"{height * width:,}: if you trust the picture, load it with a larger max_pixels"
        )


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turns whatever a decoder raises (on hostile bytes nearly anything) into an ImageError."""
    try:
        yield
    except ImageError:
        raise
    except Exception as problem:
        reason = str(problem) or type(problem).__name__
        raise ImageError(
            f"cannot read {name} as an image: {reason}. Expected {ACCEPTED}; known formats are "
            f"{FORMATS}"
        ) from problem


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
