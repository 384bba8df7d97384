"""SAM, SAM-HQ, SAM 2, EdgeTAM and the SAM 3 tracker, as transformers has them.

One adapter: the families differ in how an image is fitted into the encoder's square (padded, or
stretched to fill it), and in what the encoder gives besides the embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from transformers import (
    EdgeTamModel,
    PreTrainedModel,
    Sam2ImageProcessor,
    Sam2Model,
    Sam3ImageProcessor,
    Sam3TrackerModel,
    SamHQModel,
    SamImageProcessor,
    SamModel,
)

from grounding_sdk.detections import Size
from grounding_sdk.errors import ConfigError
from grounding_sdk.image import Image
from grounding_sdk.models.engines import HasEngine, PictureSide, compiled
from grounding_sdk.models.ports import MaskPrediction
from grounding_sdk.models.precision import DEFAULT_PRECISION, HasPrecision, Precision
from grounding_sdk.models.pretrained import load_model, model_type, reading
from grounding_sdk.models.processors import as_tensor, scaled_if_large
from grounding_sdk.models.segmenters.decoder_parts import transformers_parts
from grounding_sdk.models.segmenters.decoding import (
    Embedding,
    at_once_and_cores,
    decode_prompts,
    without_sliver,
)
from grounding_sdk.models.segmenters.folded_decoder import FoldedDecoder, SharedImage, Wanted
from grounding_sdk.models.segmenters.prompts import Prompts, check_prompts
from grounding_sdk.models.segmenters.sam_encoder import (
    EngineEncoder,
    SamEncoder,
    is_known,
    picture_side,
)


@dataclass(frozen=True)
class Family:
    """What sets a family apart.

    Attributes:
        model: Its model in transformers.
        processor: Its image processor.
        padded: Whether images keep their shape and are padded, not stretched, to the square.
    """

    model: type[PreTrainedModel]
    processor: Any
    padded: bool = False


_SAM2 = Family(Sam2Model, Sam2ImageProcessor)
_EDGETAM = Family(EdgeTamModel, Sam2ImageProcessor)
_SAM3 = Family(Sam3TrackerModel, Sam3ImageProcessor)

# By the model_type in config.json. The published checkpoints of SAM 2, EdgeTAM and SAM 3 say that
# they are video models; the image models are parts of these.
FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "sam": Family(SamModel, SamImageProcessor, padded=True),
        "sam_hq": Family(SamHQModel, SamImageProcessor, padded=True),
        "sam2": _SAM2,
        "sam2_video": _SAM2,
        "edgetam": _EDGETAM,
        "edgetam_video": _EDGETAM,
        "sam3_tracker": _SAM3,
        "sam3_tracker_video": _SAM3,
        "sam3_video": _SAM3,
    }
)

PROMPT_NAMES = ("input_points", "input_labels", "input_boxes", "input_masks")


class HfSamSegmenter(HasPrecision, HasEngine):
    """A `Segmenter`: equal to the family's processor, model and `post_process_masks`.

    But for SAM-HQ, which is equal to what was published (https://arxiv.org/abs/2306.01567):
    transformers 4.55 to 5.23 makes its masks of the image from before its prompts changed it.

    Attributes:
        name: The name under which it was loaded.
    """

    def __init__(
        self, model: PreTrainedModel, processor: Any, *, name: str, batch_size: int = 1
    ) -> None:
        """Wraps a model and its image processor.

        Args:
            model: Of one of `FAMILIES`, on whatever device; put into evaluation mode.
            processor: Its image processor.
            name: What to call it.
            batch_size: Images to encode at a time; more than one pays on a GPU only.
        """
        self.name = name
        self._model = model.eval()
        self._processor = processor
        self._batch_size = batch_size
        self._padded = isinstance(processor, SamImageProcessor)
        encoder = model.config.prompt_encoder_config
        self._input_side = int(encoder.image_size)
        self._mask_size = (4 * encoder.image_size // encoder.patch_size,) * 2
        self.precision = DEFAULT_PRECISION

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._model.device

    def _multiply_in(self, dtype: torch.dtype) -> None:
        # Of the encoders it changes those of SAM and SAM-HQ.
        self._decoder = FoldedDecoder(transformers_parts(self._model), dtype)
        encoder = self._model.vision_encoder
        self._encoder = SamEncoder(encoder, dtype) if is_known(encoder) else None

    def picture_side(self) -> PictureSide:
        """SAM's encoder; those of the other families are not translated."""
        if not isinstance(self._model, SamModel):
            raise ConfigError(f"other engines run the encoder of SAM only, not {self.name!r}")
        return picture_side(self._model.vision_encoder)

    def _translated(self, engine: str) -> EngineEncoder:
        return EngineEncoder(compiled(self.picture_side(), engine))

    @torch.no_grad()
    def _try(self, on_engine: EngineEncoder | None) -> object:
        pixels = torch.zeros(1, 3, self._input_side, self._input_side, device=self.device)
        encoder: Any = on_engine or self._encoder or self._model.get_image_embeddings
        return encoder(pixels)

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        name: str,
        device: str = "cpu",
        precision: Precision = DEFAULT_PRECISION,
    ) -> Self:
        """Loads a directory with config.json and safetensors weights; the hub is not asked.

        Args:
            path: The directory.
            name: What to call it.
            device: As torch calls it.
            precision: "exact" or "fast".

        Raises:
            MissingWeightsError: If there is no such directory, or no config.json in it.
            MissingExtraError: If it is an EdgeTAM and timm is not installed.
            CorruptWeightsError: If it holds another kind of model, or weights do not fit.
        """
        path = Path(path)
        family = FAMILIES[model_type(path, tuple(FAMILIES))]
        model = load_model(path, family.model, device)
        processor = _load_processor(
            family, path, int(model.config.prompt_encoder_config.image_size)
        )
        segmenter = cls(model, processor, name=name, batch_size=1 if device == "cpu" else 4)
        segmenter.precision = precision
        return segmenter

    @torch.no_grad()
    def encode(self, images: Sequence[Image]) -> list[Embedding]:
        """Encodes images of any sizes; see `Segmenter.encode`."""
        embeddings: list[Embedding] = []
        for start in range(0, len(images), self._batch_size):
            batch = images[start : start + self._batch_size]
            inputs = self._processor(
                [self._pixels(image) for image in batch],
                return_tensors="pt",
                input_data_format="channels_first",  # not guessed: an image may be 3 pixels high
            )
            features = self._features(inputs["pixel_values"].to(self._model.device))
            whole = [[self._input_side] * 2] * len(batch)
            embeddings += [
                Embedding(
                    image_size=(image.pixels.shape[0], image.pixels.shape[1]),
                    input_size=(int(input_size[0]), int(input_size[1])),
                    padded_size=self._input_side if self._padded else None,
                    features=tuple(feature[i : i + 1].clone() for feature in features),
                )
                for i, (image, input_size) in enumerate(
                    zip(batch, inputs.get("reshaped_input_sizes", whole), strict=True)
                )
            ]
        return embeddings

    @torch.no_grad()
    def decode(
        self,
        embedding: Embedding,
        boxes: ArrayLike | None = None,
        *,
        points: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        masks: ArrayLike | None = None,
        multimask: bool = False,
        logits: bool = True,
    ) -> MaskPrediction:
        """Decodes prompts; see `Segmenter.decode`."""
        prompts = check_prompts(boxes, points, point_labels, masks, self._mask_size)
        decoder = self._decoder
        image = decoder.share(embedding.features)
        return decode_prompts(
            prompts,
            embedding,
            partial(self._predict, embedding, decoder, image),
            multimask=multimask,
            logits=logits,
            masks_per_prompt=self._model.config.mask_decoder_config.num_multimask_outputs,
            mask_size=self._mask_size,
            **at_once_and_cores(self._model.device, len(prompts)),
        )

    def _pixels(self, image: Image) -> torch.Tensor:
        pixels = without_sliver(image.pixels, self._input_side) if self._padded else image.pixels
        return as_tensor(scaled_if_large(self._processor, pixels))

    def _features(self, pixel_values: torch.Tensor) -> Sequence[torch.Tensor]:
        # Of the early features SAM-HQ uses the first only.
        encoder = self._on_engine or self._encoder
        if encoder is not None:
            embedding, early = encoder(pixel_values)
            if early is None or not isinstance(self._model, SamHQModel):
                return [embedding]
            return [early, embedding]
        encoded = self._model.get_image_embeddings(pixel_values)
        if isinstance(self._model, SamModel):
            return [encoded]
        if isinstance(self._model, SamHQModel):
            return [encoded[1][0], encoded[0]]
        return list(encoded)

    def _predict(
        self,
        embedding: Embedding,
        decoder: FoldedDecoder,
        image: SharedImage,
        prompts: Prompts,
        wanted: Wanted,
        kept: Size,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        given = self._inputs(prompts, embedding)
        if prompts.boxes is None and prompts.points is None and not self._padded:
            # What the forward of all but SAM does: a point that is none.
            given["input_points"] = torch.zeros(1, len(prompts), 1, 2, device=self._model.device)
            given["input_labels"] = -torch.ones_like(given["input_points"][..., 0]).long()
        encoder = self._model.prompt_encoder
        sparse, dense = encoder(**dict.fromkeys(PROMPT_NAMES) | given)
        if sparse is None:
            sparse = torch.empty(1, len(prompts), 0, dense.shape[1], device=self._model.device)
        dense = None if prompts.masks is None else dense
        return decoder.decode(image, sparse[0], dense, wanted, kept=kept)

    def _inputs(self, prompts: Prompts, embedding: Embedding) -> dict[str, torch.Tensor]:
        """The prompts by the names that the models give them, as objects of one image."""

        def tensor(values: np.ndarray, *sides: int, dtype: Any = torch.float32) -> torch.Tensor:
            return torch.as_tensor(values, dtype=dtype, device=self._model.device).reshape(sides)

        given: dict[str, torch.Tensor] = {}
        count = len(prompts)
        if prompts.boxes is not None:
            corners = embedding.to_input(prompts.boxes.reshape(-1, 2, 2))
            given["input_boxes"] = tensor(corners, 1, count, 4)
        if prompts.points is not None and prompts.labels is not None:
            given["input_points"] = tensor(embedding.to_input(prompts.points), 1, count, -1, 2)
            given["input_labels"] = tensor(prompts.labels, 1, count, -1, dtype=torch.int64)
        if prompts.masks is not None:
            given["input_masks"] = tensor(prompts.masks[:, None], count, 1, *self._mask_size)
        return given


def _load_processor(family: Family, path: Path, side: int) -> Any:
    settings: dict[str, Any] = {"size": {"height": side, "width": side}}
    if family.padded:
        settings = {"size": {"longest_edge": side}, "pad_size": settings["size"]}
    # These hold the colours' mean and deviation; the sizes have to be the model's.
    files = ("preprocessor_config.json", "processor_config.json")
    if not any((path / file).is_file() for file in files):
        return family.processor(**settings)
    with reading(path, "the image settings"):
        return family.processor.from_pretrained(path, local_files_only=True, **settings)
