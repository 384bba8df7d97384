"""What models there are: data only, no loading.

A model's name is `family:size`. A family's bare name stands for its first entry here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

DETECTOR = "detector"
SEGMENTER = "segmenter"
EMBEDDED = "embedded"


@dataclass(frozen=True)
class FileInfo:
    """What a file of weights must be.

    Attributes:
        bytes: Its size.
        sha256: Its digest, in hex.
    """

    bytes: int
    sha256: str


@dataclass(frozen=True)
class ModelInfo:
    """A model that can be asked for by name.

    Attributes:
        name: `family:size`, or the bare family where there is one size only.
        kind: "detector" or "segmenter".
        adapter: Where the class is that loads it, as "module:Class".
        source: A hub id ("org/name"), "embedded", or the file name of a published checkpoint.
        licence: Of the weights: an SPDX identifier, or their own licence's name.
        megabytes: Size of the weights in 10^6 bytes, about; None where not known.
        extra: The extra of this package that it needs beyond a plain install.
        url: Where the checkpoint is published, where that is not the hub.
        files: For each file what it must be, where that is known.
        note: What else one should know before choosing it.
    """

    name: str
    kind: str
    adapter: str
    source: str
    licence: str
    megabytes: int | None = None
    extra: str | None = None
    url: str | None = None
    files: Mapping[str, FileInfo] = field(default_factory=dict)
    note: str = ""

    @property
    def family(self) -> str:
        """The part of the name before the colon."""
        return self.name.partition(":")[0]

    @property
    def folder(self) -> str:
        """The name as a folder's: no colon, which some file systems refuse."""
        return self.name.replace(":", "-")


MINI = {
    DETECTOR: "grounding_sdk.models.mini.predictor:MiniDetector",
    SEGMENTER: "grounding_sdk.models.mini.predictor:MiniSegmenter",
}
OWL = "grounding_sdk.models.detectors.owl:OwlDetector"
GROUNDING_DINO = "grounding_sdk.models.detectors.grounding_dino:GroundingDinoDetector"
OMDET_TURBO = "grounding_sdk.models.detectors.omdet_turbo:OmDetTurboDetector"
SAM3 = "grounding_sdk.models.detectors.sam3:Sam3Detector"
SEGMENT_ANYTHING = "grounding_sdk.models.segmenters.segment_anything:SegmentAnythingSegmenter"
HF_SAM = "grounding_sdk.models.segmenters.hf_sam:HfSamSegmenter"

# By these a folder is known as one of the embedded model's.
MINI_FILES = ("config.json", "vision.safetensors", "text.safetensors", "tokenizer.json")

# The adapter for a folder or hub id that is not listed below, by the model_type in its config.json.
ADAPTERS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        DETECTOR: {
            "owlvit": OWL,
            "owlv2": OWL,
            "grounding-dino": GROUNDING_DINO,
            "mm-grounding-dino": GROUNDING_DINO,
            "omdet-turbo": OMDET_TURBO,
            "sam3": SAM3,
            "sam3_video": SAM3,
        },
        SEGMENTER: {
            "sam": HF_SAM,
            "sam_hq": HF_SAM,
            "sam2": HF_SAM,
            "sam2_video": HF_SAM,
            "edgetam": HF_SAM,
            "edgetam_video": HF_SAM,
            "sam3_tracker": HF_SAM,
            "sam3_tracker_video": HF_SAM,
            "sam3_video": HF_SAM,
        },
    }
)

# The modules that an extra brings, to tell whether it is installed.
EXTRAS: Mapping[str, tuple[str, ...]] = MappingProxyType({"timm": ("timm",)})

_META_CDN = "https://dl.fbaipublicfiles.com/segment_anything/"
_GATED = "gated: accept its licence on the hub and log in with `hf auth login` first"


def _detectors(adapter: str, *rows: tuple[str, str, int | None]) -> Iterable[ModelInfo]:
    for name, source, megabytes in rows:
        yield ModelInfo(name, DETECTOR, adapter, source, "Apache-2.0", megabytes)


def _hf_segmenters(*rows: tuple[str, str, int | None]) -> Iterable[ModelInfo]:
    for name, source, megabytes in rows:
        yield ModelInfo(name, SEGMENTER, HF_SAM, source, "Apache-2.0", megabytes)


def _checkpoint(name: str, file: str, size: int, sha256: str) -> ModelInfo:
    return ModelInfo(
        name,
        SEGMENTER,
        SEGMENT_ANYTHING,
        source=file,
        licence="Apache-2.0",
        megabytes=round(size / 1e6),
        url=_META_CDN + file,
        files={file: FileInfo(size, sha256)},
        note="the published checkpoint, run by the segment-anything package",
    )


MODELS: tuple[ModelInfo, ...] = (
    ModelInfo("mini", DETECTOR, MINI[DETECTOR], EMBEDDED, "Apache-2.0", note="the default"),
    *_detectors(
        OWL,
        ("owlvit:base-32", "google/owlvit-base-patch32", 613),
        ("owlvit:base-16", "google/owlvit-base-patch16", 611),
        ("owlvit:large", "google/owlvit-large-patch14", 1736),
        ("owlv2:base-ensemble", "google/owlv2-base-patch16-ensemble", 620),
        ("owlv2:base", "google/owlv2-base-patch16", 620),
        ("owlv2:large-ensemble", "google/owlv2-large-patch14-ensemble", 1750),
        ("owlv2:large", "google/owlv2-large-patch14", 1750),
    ),
    *_detectors(
        GROUNDING_DINO,
        ("grounding-dino:tiny", "IDEA-Research/grounding-dino-tiny", 689),
        ("grounding-dino:base", "IDEA-Research/grounding-dino-base", 933),
        (
            "mm-grounding-dino:tiny",
            "openmmlab-community/mm_grounding_dino_tiny_o365v1_goldg_v3det",
            692,
        ),
        (
            "mm-grounding-dino:base",
            "openmmlab-community/mm_grounding_dino_base_o365v1_goldg_v3det",
            936,
        ),
        ("mm-grounding-dino:base-all", "openmmlab-community/mm_grounding_dino_base_all", 936),
        (
            "mm-grounding-dino:large",
            "openmmlab-community/mm_grounding_dino_large_o365v2_oiv6_goldg",
            1374,
        ),
        ("mm-grounding-dino:large-all", "openmmlab-community/mm_grounding_dino_large_all", 1374),
        ("llmdet:tiny", "iSEE-Laboratory/llmdet_tiny", 692),
        ("llmdet:base", "iSEE-Laboratory/llmdet_base", 936),
        ("llmdet:large", "iSEE-Laboratory/llmdet_large", 1374),
    ),
    ModelInfo(
        "omdet-turbo:tiny",
        DETECTOR,
        OMDET_TURBO,
        "omlab/omdet-turbo-swin-tiny-hf",
        "Apache-2.0",
        extra="timm",
    ),
    ModelInfo(
        "sam3",
        DETECTOR,
        SAM3,
        "facebook/sam3",
        "SAM License",
        3440,
        note=f"makes its own masks; {_GATED}",
    ),
    ModelInfo("mini", SEGMENTER, MINI[SEGMENTER], EMBEDDED, "Apache-2.0", note="the default"),
    # Digests as several public manifests give them; files as named in segment-anything's README.
    _checkpoint(
        "segment-anything:vit-b",
        "sam_vit_b_01ec64.pth",
        375_042_383,
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    ),
    _checkpoint(
        "segment-anything:vit-l",
        "sam_vit_l_0b3195.pth",
        1_249_524_607,
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    ),
    _checkpoint(
        "segment-anything:vit-h",
        "sam_vit_h_4b8939.pth",
        2_564_550_879,
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    ),
    *_hf_segmenters(
        ("sam:vit-b", "facebook/sam-vit-base", 375),
        ("sam:vit-l", "facebook/sam-vit-large", 1250),
        ("sam:vit-h", "facebook/sam-vit-huge", 2564),
        ("sam-hq:vit-b", "syscv-community/sam-hq-vit-base", 379),
        ("sam-hq:vit-l", "syscv-community/sam-hq-vit-large", None),
        ("sam-hq:vit-h", "syscv-community/sam-hq-vit-huge", 2570),
        ("sam2:tiny", "facebook/sam2.1-hiera-tiny", 156),
        ("sam2:small", "facebook/sam2.1-hiera-small", 184),
        ("sam2:base-plus", "facebook/sam2.1-hiera-base-plus", 323),
        ("sam2:large", "facebook/sam2.1-hiera-large", 898),
    ),
    ModelInfo(
        "edgetam",
        SEGMENTER,
        HF_SAM,
        "yonigozlan/EdgeTAM-hf",
        "Apache-2.0",
        56,
        extra="timm",
        note="needs timm for its backbone",
    ),
    ModelInfo("sam3-tracker", SEGMENTER, HF_SAM, "facebook/sam3", "SAM License", 3440, note=_GATED),
)


def models(kind: str | None = None) -> list[ModelInfo]:
    """Returns the entries of one kind, or all, in the catalog's order."""
    return [info for info in MODELS if kind in (None, info.kind)]


def lookup(name: str, kind: str | None = None) -> ModelInfo | None:
    """Returns the entry of a name, of a bare family name or of a hub id; None if there is none.

    >>> lookup("owlv2").name, lookup("facebook/sam3", SEGMENTER).name
    ('owlv2:base-ensemble', 'sam3-tracker')
    """
    candidates = models(kind)
    for matches in (
        lambda info: info.name == name,
        lambda info: info.family == name,
        lambda info: "/" in name and info.source == name,
    ):
        for info in candidates:
            if matches(info):
                return info
    return None
