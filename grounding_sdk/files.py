"""Writing files so that nobody ever meets half of one."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def write_file(path: str | Path, content: bytes | str) -> Path:
    """Writes a file beside its place and moves it there; missing folders are made.

    Args:
        path: Where to; what is there is replaced, as a whole or not at all.
        content: Bytes, or text to be encoded as UTF-8.

    Returns:
        The path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        part.write_bytes(content if isinstance(content, bytes) else content.encode())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path
