"""The paths that people run today, with the weights that our adapters run, as documented by others.

Each says what it is. Where a model has no such path, it is asked in the plainest way: a phrase at
a time, a box at a time, masks as a dense array.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import PIL.Image
import torch
import transformers as hf

from grounding_sdk.errors import ConfigError
from grounding_sdk.image import Image
from grounding_sdk.models import store
from grounding_sdk.models.ports import Detector, Segmenter
from grounding_sdk.models.pretrained import reading
from grounding_sdk.query import Phrase, Query


@dataclass(frozen=True)
class Found:
    """Boxes of a detector.

    Attributes:
        boxes: (N, 4) xyxy pixels.
        scores: (N,).
        labels: N phrases; empty ones where the path gives no phrase that can be relied on.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: list[str]


@dataclass(frozen=True)
class Masks:
    """Masks of a segmenter.

    Attributes:
        dense: (N, H, W) bool.
        logits: (N, h, w) before upscaling, if the path shows them.
    """

    dense: np.ndarray
    logits: np.ndarray | None = None


class ReferenceDetector(Protocol):
    """A way to find boxes.

    Attributes:
        says: What it is.
        one_at_a_time: Whether each phrase is work of its own.
    """

    says: str
    one_at_a_time: bool

    def detect(self, image: Image, phrases: Sequence[str], threshold: float) -> Found:
        """Finds boxes."""
        ...


class ReferenceSegmenter(Protocol):
    """A way to get masks of boxes."""

    says: str

    def encode(self, image: Image) -> Any:
        """Reads an image."""
        ...

    def decode(self, encoded: Any, boxes: np.ndarray) -> Masks:
        """Makes a mask for each box."""
        ...


def reference_detector(model: Detector, path: Path | None, device: str) -> ReferenceDetector:
    """Returns what a detector is compared with.

    Args:
        model: Ours.
        path: The weights that it was loaded from; None if it has none.
        device: Where to run.
    """
    kind = _model_type(path)
    if path is not None and kind in ("owlvit", "owlv2"):
        with reading(path):
            return ZeroShotPipeline(path, device)
    if path is not None and kind == "grounding-dino":
        with reading(path):
            return GroundedProcessor(path, device)
    return PhraseByPhrase(_without_memory(model, path, device))


def reference_segmenter(model: Segmenter, path: Path | None, device: str) -> ReferenceSegmenter:
    """Returns what a segmenter is compared with; see `reference_detector`."""
    if path is not None and path.suffix == ".pth":
        return SamPredictorPath(path, device)
    of_type = {"sam": SamModelPath, "sam_hq": SamHqModelPath}.get(_model_type(path) or "")
    if path is not None and of_type is not None:
        with reading(path):
            return of_type(path, device)
    return BoxByBox(_without_memory(model, path, device))


class ZeroShotPipeline:
    """transformers' pipeline: it runs the whole model once for each phrase."""

    says = "transformers' pipeline('zero-shot-object-detection')"
    one_at_a_time = True

    def __init__(self, path: Path, device: str) -> None:
        processor = hf.AutoProcessor.from_pretrained(path, local_files_only=True)
        self._pipeline = hf.pipeline(
            "zero-shot-object-detection",
            model=hf.AutoModelForZeroShotObjectDetection.from_pretrained(
                path, local_files_only=True, dtype=torch.float32
            ).eval(),
            tokenizer=processor.tokenizer,
            image_processor=processor.image_processor,
            device=device,
        )

    def detect(self, image: Image, phrases: Sequence[str], threshold: float) -> Found:
        """Finds boxes."""
        found: Any = self._pipeline(
            PIL.Image.fromarray(image.pixels), candidate_labels=list(phrases), threshold=threshold
        )
        sides = ("xmin", "ymin", "xmax", "ymax")
        return Found(
            np.array([[row["box"][side] for side in sides] for row in found]).reshape(-1, 4),
            np.array([row["score"] for row in found]),
            [row["label"] for row in found],
        )


class GroundedProcessor:
    """Grounding DINO as its documentation has it: all phrases in one text.

    Its labels are read off tokens and may be parts or several of the phrases, and its scores are
    the best of all tokens, dots and ends too: only boxes can be compared.
    """

    says = "transformers' processor, GroundingDinoForObjectDetection and post-processing"
    one_at_a_time = False

    def __init__(self, path: Path, device: str) -> None:
        self._processor: Any = hf.AutoProcessor.from_pretrained(path, local_files_only=True)
        model = hf.GroundingDinoForObjectDetection.from_pretrained(
            path, local_files_only=True, dtype=torch.float32
        )
        self._model = model.to(device).eval()
        self._device = device

    @torch.no_grad()
    def detect(self, image: Image, phrases: Sequence[str], threshold: float) -> Found:
        """Finds boxes."""
        inputs = self._processor(
            images=PIL.Image.fromarray(image.pixels),
            text=" ".join(f"{phrase}." for phrase in phrases),
            return_tensors="pt",
        ).to(self._device)
        result = self._processor.post_process_grounded_object_detection(
            self._model(**inputs),
            inputs["input_ids"],
            threshold=threshold,
            text_threshold=threshold,
            target_sizes=[image.size],
        )[0]
        scores = result["scores"].cpu().numpy()
        return Found(result["boxes"].cpu().numpy(), scores, [""] * len(scores))


class PhraseByPhrase:
    """Our adapter, asked for one phrase at a time."""

    says = "the same model, asked for one phrase at a time"
    one_at_a_time = True

    def __init__(self, model: Any) -> None:
        self._model = model

    def detect(self, image: Image, phrases: Sequence[str], threshold: float) -> Found:
        """Finds boxes."""
        parts = []
        for phrase in phrases:
            _forget(self._model)
            asked = Query((Phrase(phrase, threshold=threshold),))
            parts.append(self._model.detect([image], [asked])[0])
        return Found(
            np.concatenate([part.xyxy for part in parts]),
            np.concatenate([part.confidence for part in parts]),
            [str(label) for part in parts for label in part.data["phrase"]],
        )


class SamModelPath:
    """SAM of transformers: processor, model, `post_process_masks`."""

    says = "transformers' SamProcessor, SamModel(multimask_output=False) and post_process_masks"
    model: Any = hf.SamModel

    def __init__(self, path: Path, device: str) -> None:
        image_processor = hf.SamImageProcessor.from_pretrained(path, local_files_only=True)
        self._processor: Any = hf.SamProcessor(image_processor)
        model = self.model.from_pretrained(path, local_files_only=True, dtype=torch.float32)
        self._model = model.to(device).eval()
        self._device = device

    @torch.no_grad()
    def encode(self, image: Image) -> Any:
        """Reads an image."""
        picture = PIL.Image.fromarray(image.pixels)
        inputs = self._processor(images=picture, return_tensors="pt").to(self._device)
        return picture, inputs, self._encode(inputs["pixel_values"])

    def _encode(self, pixels: torch.Tensor) -> dict[str, Any]:
        return {"image_embeddings": self._model.get_image_embeddings(pixels)}

    @torch.no_grad()
    def decode(self, encoded: Any, boxes: np.ndarray) -> Masks:
        """Makes a mask for each box."""
        picture, inputs, embeddings = encoded
        # As the processor scales boxes, without reading the picture again.
        scale = inputs["reshaped_input_sizes"][0].cpu().numpy()[::-1] / np.array(picture.size)
        corners = torch.tensor(boxes * np.tile(scale, 2), dtype=torch.float32, device=self._device)
        output = self._model(**embeddings, input_boxes=corners[None], multimask_output=False)
        masks = self._processor.post_process_masks(
            output.pred_masks.cpu(),
            inputs["original_sizes"].cpu(),
            inputs["reshaped_input_sizes"].cpu(),
        )[0]
        return Masks(masks[:, 0].numpy(), output.pred_masks[0, :, 0].cpu().numpy())


class SamHqModelPath(SamModelPath):
    """SAM-HQ of transformers, its decoder as it was published."""

    says = "transformers' SamHQModel, mended, SamProcessor and post_process_masks"
    model = hf.SamHQModel

    def __init__(self, path: Path, device: str) -> None:
        super().__init__(path, device)
        mend_sam_hq(self._model)

    def _encode(self, pixels: torch.Tensor) -> dict[str, Any]:
        embeddings, early = self._model.get_image_embeddings(pixels)
        return {"image_embeddings": embeddings, "intermediate_embeddings": early}


def mend_sam_hq(model: hf.SamHQModel) -> None:
    """Has masks made of the image that prompts changed, as SAM-HQ was published.

    transformers 4.55 to 5.23, not 4.53, makes them of the one from before, rows and columns
    exchanged: what its transformer gives is assigned to another name. Here it is written to where
    they are made from.
    """
    decoder: Any = model.mask_decoder
    transform = decoder.transformer.forward

    def forward(*, image_embeddings: torch.Tensor, **others: Any) -> Any:
        tokens, image = transform(image_embeddings=image_embeddings, **others)
        image_embeddings.mT[:] = image[:, 0].mT.view_as(image_embeddings)
        return tokens, image

    decoder.transformer.forward = forward


class SamPredictorPath:
    """The segment-anything package's own predictor, all boxes in one batch."""

    says = "segment-anything's SamPredictor.set_image and predict_torch(multimask_output=False)"

    def __init__(self, path: Path, device: str) -> None:
        from segment_anything import SamPredictor

        from grounding_sdk.models.segmenters.segment_anything import sam_from_weights

        weights = torch.load(path, map_location="cpu", weights_only=True)
        self._predictor = SamPredictor(sam_from_weights(weights, str(path)).to(device))
        self._device = device

    def encode(self, image: Image) -> Any:
        """Reads an image."""
        self._predictor.set_image(image.pixels)
        return image.size

    def decode(self, encoded: Any, boxes: np.ndarray) -> Masks:
        """Makes a mask for each box."""
        given = torch.tensor(boxes, dtype=torch.float32, device=self._device)
        masks, _, logits = self._predictor.predict_torch(
            None,
            None,
            boxes=self._predictor.transform.apply_boxes_torch(given, encoded),
            multimask_output=False,
        )
        return Masks(masks[:, 0].cpu().numpy(), logits[:, 0].cpu().numpy())


class BoxByBox:
    """Our adapter, given one box at a time, its masks made dense."""

    says = "the same model, given one box at a time, with dense masks"

    def __init__(self, model: Any) -> None:
        self._model = model

    def encode(self, image: Image) -> Any:
        """Reads an image."""
        _forget(self._model)
        return self._model.encode([image])[0]

    def decode(self, encoded: Any, boxes: np.ndarray) -> Masks:
        """Makes a mask for each box."""
        parts = [self._model.decode(encoded, box[None]) for box in boxes]
        logits = [part.logits for part in parts if part.logits is not None]
        return Masks(
            np.concatenate([part.masks.to_dense() for part in parts]),
            np.concatenate(logits)[:, 0] if logits else None,
        )


def _model_type(path: Path | None) -> str | None:
    config = path / "config.json" if path is not None else None
    if config is None or not config.is_file():
        return None
    return store.read_json(config).get("model_type")


def _without_memory(model: Any, path: Path | None, device: str) -> Any:
    """Gives the embedded model a network of its own, so that it takes nothing from ours."""
    if not hasattr(model, "network"):
        return model
    if path is None:
        raise ConfigError(f"the weights of {model.name!r} are not known: give a name or a folder")
    from grounding_sdk.models.mini.predictor import Network

    return type(model)(Network(path, device), model.name)


def _forget(model: Any) -> None:
    if hasattr(model, "network"):
        model.network.encodings.clear()
