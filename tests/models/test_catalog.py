from __future__ import annotations

import configparser
import importlib
import re
from pathlib import Path

import pytest

from grounding_sdk.models import catalog
from grounding_sdk.models.catalog import ADAPTERS, DETECTOR, EXTRAS, MODELS, SEGMENTER

ROOT = Path(__file__).parents[2]
ALL_ADAPTERS = sorted(
    {info.adapter for info in MODELS} | {a for table in ADAPTERS.values() for a in table.values()}
)


def test_names_are_unique_within_a_kind():
    for kind in (DETECTOR, SEGMENTER):
        names = [info.name for info in catalog.models(kind)]
        assert len(names) == len(set(names))
    assert len(catalog.models()) == len(MODELS)


@pytest.mark.parametrize("info", MODELS, ids=lambda info: f"{info.kind}-{info.name}")
def test_entries_are_complete(info):
    assert info.kind in (DETECTOR, SEGMENTER)
    assert re.fullmatch(r"[a-z0-9-]+(:[a-z0-9-]+)?", info.name)
    assert info.licence
    assert info.extra is None or info.extra in EXTRAS
    if info.url:
        assert info.url.startswith("https://")
        assert info.url.endswith(info.source)
        assert info.source in info.files
    else:
        assert info.source == "embedded" or re.fullmatch(r"[\w-]+/[\w.-]+", info.source)
    for file in info.files.values():
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)


@pytest.mark.parametrize("adapter", ALL_ADAPTERS)
def test_adapters_exist_and_can_load(adapter):
    module, _, name = adapter.partition(":")
    assert callable(getattr(importlib.import_module(module), name).load)


def test_the_embedded_model_has_the_files_by_which_it_is_known():
    from grounding_sdk.models.mini import weights

    files = {weights.CONFIG, weights.VISION, weights.TEXT, weights.TOKENIZER}
    assert set(catalog.MINI_FILES) == files


def test_extras_are_those_of_the_package():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert set(EXTRAS) <= set(config["options.extras_require"])


@pytest.mark.parametrize(
    "name, kind, expected",
    [
        ("owlv2:base", DETECTOR, "owlv2:base"),
        ("owlv2", DETECTOR, "owlv2:base-ensemble"),  # a bare family is its first entry
        ("sam2", None, "sam2:tiny"),
        ("sam", SEGMENTER, "sam:vit-b"),  # and not sam-hq or sam2
        ("facebook/sam3", DETECTOR, "sam3"),
        ("facebook/sam3", SEGMENTER, "sam3-tracker"),
        ("sam", DETECTOR, None),
        ("owlv2:", DETECTOR, None),
        ("OWLv2", DETECTOR, None),
        ("", None, None),
    ],
)
def test_lookup(name, kind, expected):
    found = catalog.lookup(name, kind)
    assert (found and found.name) == expected
