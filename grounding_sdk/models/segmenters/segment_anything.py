"""SAM by the official `segment-anything` package, from the published `.pth` files."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from segment_anything.utils.transforms import ResizeLongestSide
from torchvision.transforms.functional import resize, to_pil_image

from grounding_sdk.detections import Size
from grounding_sdk.errors import ConfigError, CorruptWeightsError, MissingWeightsError
from grounding_sdk.image import Image
from grounding_sdk.models.engines import HasEngine, PictureSide, compiled
from grounding_sdk.models.ports import MaskPrediction
from grounding_sdk.models.precision import DEFAULT_PRECISION, HasPrecision, Precision
from grounding_sdk.models.scaling import scale_in_bands
from grounding_sdk.models.segmenters.decoder_parts import official_parts
from grounding_sdk.models.segmenters.decoding import (
    Embedding,
    at_once_and_cores,
    decode_prompts,
    without_sliver,
)
from grounding_sdk.models.segmenters.folded_decoder import FoldedDecoder, Wanted
from grounding_sdk.models.segmenters.prompts import Prompts, check_prompts
from grounding_sdk.models.segmenters.sam_encoder import (
    EngineEncoder,
    SamEncoder,
    is_known,
    picture_side,
)

PIXEL_MEAN = [123.675, 116.28, 103.53]  # not in the files; these are of segment_anything.build_sam
PIXEL_STD = [58.395, 57.12, 57.375]
DECODER_HEADS = 8


class SegmentAnythingSegmenter(HasPrecision, HasEngine):
    """A `Segmenter`: equal to `SamPredictor`, without its state.

    Attributes:
        name: The name under which it was loaded.
    """

    def __init__(self, sam: Sam, *, name: str = "segment-anything", batch_size: int = 1) -> None:
        """Wraps a model of the package.

        Args:
            sam: On whatever device; put into evaluation mode.
            name: What to call it.
            batch_size: Images to encode at a time; more than one pays on a GPU only.
        """
        self.name = name
        self._sam = sam.eval()
        self._batch_size = batch_size
        self._resize = ResizeLongestSide(sam.image_encoder.img_size)
        self.precision = DEFAULT_PRECISION

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        name: str,
        device: str = "cpu",
        precision: Precision = DEFAULT_PRECISION,
    ) -> Self:
        """Loads a published checkpoint, its architecture being read off its weights.

        Args:
            path: The `.pth` file, or a directory that holds exactly one.
            name: What to call it.
            device: As torch calls it.
            precision: "exact" or "fast".

        Raises:
            MissingWeightsError: If there is no such file.
            CorruptWeightsError: If the file is not a SAM checkpoint.
        """
        file = _checkpoint_file(Path(path))
        sam = sam_from_weights(_read_weights(file), str(file)).to(device)
        segmenter = cls(sam, name=name, batch_size=1 if device == "cpu" else 4)
        segmenter.precision = precision
        return segmenter

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._sam.device

    def _multiply_in(self, dtype: torch.dtype) -> None:
        encoder = self._sam.image_encoder
        self._encoder = SamEncoder(encoder, dtype) if is_known(encoder) else None
        self._decoder = FoldedDecoder(official_parts(self._sam), dtype)

    def picture_side(self) -> PictureSide:
        """The encoder, if it is one as published."""
        encoder = self._sam.image_encoder
        if not is_known(encoder):
            raise ConfigError(f"other engines run the encoder of SAM only, not {self.name!r}")
        return picture_side(encoder)

    def _translated(self, engine: str) -> EngineEncoder:
        return EngineEncoder(compiled(self.picture_side(), engine))

    @torch.no_grad()
    def _try(self, on_engine: EngineEncoder | None) -> object:
        side = self._sam.image_encoder.img_size
        pixels = torch.zeros(1, 3, side, side, device=self.device)
        return (on_engine or self._encoder or self._sam.image_encoder)(pixels)

    @torch.no_grad()
    def encode(self, images: Sequence[Image]) -> list[Embedding]:
        """Encodes images of any sizes; see `Segmenter.encode`."""
        embeddings: list[Embedding] = []
        for start in range(0, len(images), self._batch_size):
            batch = images[start : start + self._batch_size]
            inputs = [self._input(image) for image in batch]
            padded = torch.stack([self._sam.preprocess(pixels) for pixels in inputs])
            features = self._features(padded)
            embeddings += [
                Embedding(
                    image_size=(image.pixels.shape[0], image.pixels.shape[1]),
                    input_size=(pixels.shape[1], pixels.shape[2]),
                    padded_size=self._sam.image_encoder.img_size,
                    features=(feature[None].clone(),),
                )
                for image, pixels, feature in zip(batch, inputs, features, strict=True)
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
        mask_size = self._sam.prompt_encoder.mask_input_size
        prompts = check_prompts(boxes, points, point_labels, masks, mask_size)
        decoder = self._decoder
        image = decoder.share(embedding.features)

        def predict(
            chunk: Prompts, wanted: Wanted, kept: Size
        ) -> tuple[torch.Tensor, torch.Tensor]:
            prompted = self._prompt_embeddings(chunk, embedding)
            return decoder.decode(image, *prompted, wanted, kept=kept)

        return decode_prompts(
            prompts,
            embedding,
            predict,
            multimask=multimask,
            logits=logits,
            masks_per_prompt=self._sam.mask_decoder.num_multimask_outputs,
            mask_size=mask_size,
            **at_once_and_cores(self._sam.device, len(prompts)),
        )

    def _features(self, padded: torch.Tensor) -> torch.Tensor:
        encoder = self._on_engine or self._encoder
        return self._sam.image_encoder(padded) if encoder is None else encoder(padded)[0]

    def _input(self, image: Image) -> torch.Tensor:
        longest = self._resize.target_length
        pixels = without_sliver(image.pixels, longest)
        size = self._resize.get_preprocess_shape(*pixels.shape[:2], longest)
        resized = torch.from_numpy(scale_in_bands(pixels, size, _scaled))
        return resized.permute(2, 0, 1).to(self._sam.device)

    def _prompt_embeddings(
        self, prompts: Prompts, embedding: Embedding
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        def tensor(values: np.ndarray) -> torch.Tensor:
            return torch.as_tensor(values, dtype=torch.float32, device=self._sam.device)

        points = boxes = masks = None
        if prompts.points is not None and prompts.labels is not None:
            points = tensor(embedding.to_input(prompts.points)), tensor(prompts.labels)
        if prompts.boxes is not None:
            corners = prompts.boxes.reshape(-1, 2, 2)
            boxes = tensor(embedding.to_input(corners)).reshape(-1, 4)
        if prompts.masks is not None:
            masks = tensor(prompts.masks)[:, None]
        sparse, dense = self._sam.prompt_encoder(points=points, boxes=boxes, masks=masks)
        return sparse, None if masks is None else dense


def _scaled(pixels: np.ndarray, size: Size) -> np.ndarray:
    """As `ResizeLongestSide` does it."""
    return np.array(resize(to_pil_image(pixels), list(size)))


def sam_from_weights(weights: Mapping[str, torch.Tensor], source: str = "the weights") -> Sam:
    """Builds the model that a state dict is of, whatever its size: vit_b, vit_l, vit_h or smaller.

    Args:
        weights: In the layout of the published files.
        source: Where they came from, for the error.

    Raises:
        CorruptWeightsError: If they are not SAM's.
    """
    try:
        with torch.device("meta"):  # no time lost on random weights that are then replaced
            sam = _architecture({key: tuple(value.shape) for key, value in weights.items()})
        floats = {key: value.float() for key, value in weights.items()}
        sam.load_state_dict(floats, assign=True)
    except Exception as error:  # whatever a layout that is not SAM's leads to
        reason = f"lacks {error}" if isinstance(error, KeyError) else _first_lines(error)
        raise CorruptWeightsError(
            f"expected {source} to be a SAM checkpoint of segment-anything "
            f"(sam_vit_b_01ec64.pth, sam_vit_l_0b3195.pth or sam_vit_h_4b8939.pth), but it {reason}"
        ) from error
    for name, values in (("pixel_mean", PIXEL_MEAN), ("pixel_std", PIXEL_STD)):
        sam.register_buffer(name, torch.tensor(values).view(-1, 1, 1), persistent=False)
    return sam.requires_grad_(False).eval()


def _architecture(shapes: Mapping[str, tuple[int, ...]]) -> Sam:
    """The model that has these shapes; the counterpart of `segment_anything.build_sam`."""
    _, grid, _, width = shapes["image_encoder.pos_embed"]
    patch = shapes["image_encoder.patch_embed.proj.weight"][-1]
    depth = _count(shapes, "image_encoder.blocks")
    # A block sees the whole grid or a window of it; its relative positions tell how far.
    spans = [(shapes[f"image_encoder.blocks.{i}.attn.rel_pos_h"][0] + 1) // 2 for i in range(depth)]
    dim = shapes["mask_decoder.mask_tokens.weight"][1]
    layer = "mask_decoder.transformer.layers.0"
    return Sam(
        image_encoder=ImageEncoderViT(
            img_size=grid * patch,
            patch_size=patch,
            embed_dim=width,
            depth=depth,
            num_heads=width // shapes["image_encoder.blocks.0.attn.rel_pos_h"][1],
            mlp_ratio=shapes["image_encoder.blocks.0.mlp.lin1.weight"][0] / width,
            out_chans=dim,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=min(spans),
            global_attn_indexes=tuple(i for i, span in enumerate(spans) if span == grid),
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=dim,
            image_embedding_size=(grid, grid),
            input_image_size=(grid * patch, grid * patch),
            mask_in_chans=shapes["prompt_encoder.mask_downscaling.3.weight"][0],
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=shapes["mask_decoder.mask_tokens.weight"][0] - 1,
            transformer=TwoWayTransformer(
                depth=_count(shapes, "mask_decoder.transformer.layers"),
                embedding_dim=dim,
                num_heads=DECODER_HEADS,
                mlp_dim=shapes[f"{layer}.mlp.lin1.weight"][0],
                attention_downsample_rate=dim
                // shapes[f"{layer}.cross_attn_token_to_image.q_proj.weight"][0],
            ),
            transformer_dim=dim,
            iou_head_depth=_count(shapes, "mask_decoder.iou_prediction_head.layers"),
            iou_head_hidden_dim=shapes["mask_decoder.iou_prediction_head.layers.0.weight"][0],
        ),
        pixel_mean=PIXEL_MEAN,
        pixel_std=PIXEL_STD,
    )


def _count(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> int:
    """How many numbered modules the prefix has.

    >>> _count({"blocks.0.a": (), "blocks.1.a": (), "blocks.1.b": ()}, "blocks")
    2
    """
    depth = prefix.count(".") + 1
    return len({key.split(".")[depth] for key in shapes if key.startswith(f"{prefix}.")})


def _checkpoint_file(path: Path) -> Path:
    if path.is_file():
        return path
    files = sorted(path.glob("*.pth")) if path.is_dir() else []
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise MissingWeightsError(
            f"expected a .pth file, or a directory that holds exactly one, at {path}; found {found}"
        )
    return files[0]


def _read_weights(file: Path) -> dict[str, torch.Tensor]:
    try:
        weights = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CorruptWeightsError(
            f"expected {file} to be a checkpoint that torch can read without running code from "
            f"it, but {_first_lines(error)}: download it again"
        ) from error
    if not isinstance(weights, dict) or not all(
        isinstance(value, torch.Tensor) for value in weights.values()
    ):
        raise CorruptWeightsError(
            f"expected {file} to hold a mapping from names to tensors, as the checkpoints of "
            f"segment-anything do; SAM 2 and others are loaded from their transformers directory"
        )
    return weights


def _first_lines(error: Exception) -> str:
    text = " ".join(line.strip() for line in str(error).splitlines()[:3])
    return f"{text[:300] or type(error).__name__}"
