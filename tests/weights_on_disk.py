"""Weights written by hand, in the layouts in which the store meets them."""

from __future__ import annotations

import hashlib
import json
import socket
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 26000000\n"
TENSORS = save({"weight": np.arange(12, dtype=np.float32)})


def isolate(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Leaves a test without network, without caches and without the user's settings."""
    for variable in ("GROUNDING_SDK_WEIGHTS", "GROUNDING_SDK_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def write_model(folder: Path, model_type: str = "owlv2") -> Path:
    """Writes a folder in the layout of save_pretrained."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    (folder / "model.safetensors").write_bytes(TENSORS)
    return folder


def write_hub_cache(hub: Path, repo: str, model_type: str = "owlv2") -> Path:
    """Writes a repository into a Hugging Face cache: snapshots link to blobs named by digest."""
    root = hub / f"models--{repo.replace('/', '--')}"
    snapshot = root / "snapshots" / "c0ffee"
    for folder in (root / "blobs", root / "refs", snapshot):
        folder.mkdir(parents=True)
    (root / "refs" / "main").write_text("c0ffee")
    config = json.dumps({"model_type": model_type}).encode()
    blobs = {
        "config.json": (hashlib.sha1(config).hexdigest(), config),
        "model.safetensors": (hashlib.sha256(TENSORS).hexdigest(), TENSORS),
    }
    for name, (digest, content) in blobs.items():
        (root / "blobs" / digest).write_bytes(content)
        (snapshot / name).symlink_to(root / "blobs" / digest)
    return snapshot


def write_mini(folder: Path, content: bytes = TENSORS) -> Path:
    """Writes the files of the embedded model."""
    folder.mkdir(parents=True)
    (folder / "vision.safetensors").write_bytes(content)
    (folder / "text.safetensors").write_bytes(TENSORS)
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_text("{}")
    return folder


def write_embedded(root: Path, content: bytes = TENSORS) -> Path:
    """Writes a `weights/` with the model mini and its manifest, which promises `TENSORS`."""
    folder = write_mini(root / "mini", content)
    entry = {"bytes": len(TENSORS), "sha256": hashlib.sha256(TENSORS).hexdigest()}
    manifest = {"models": {"mini": {"files": {"mini/vision.safetensors": entry}}}}
    (root / "manifest.json").write_text(json.dumps(manifest))
    return folder
