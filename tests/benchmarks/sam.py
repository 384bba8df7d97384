"""Measures our SAM encoder and decoder against the packages' own, interleaved in one run.

    python tests/benchmarks/sam.py encoder --package transformers --repeats 3
    python tests/benchmarks/sam.py decoder masks --boxes 1 20 64

The model is ViT-B at its full size with random weights scaled to 1/sqrt(fan_in): speed does not
depend on them; the answers mean nothing, but that they are the same does. Printed are medians in
milliseconds, the median of the ratios of the rounds (the package's time / ours), and the largest
difference relative to the largest number. `decoder` is prompts to logits, without the way to
pixels, on both sides, of ours those that pixels are made from, as a pipeline asks for them (with
`--logits` all); `masks` is all the way. `second` is a query on an image that was queried
before, against an encoder and a decoder that run again, as they do where nothing is kept.
On a busy machine, `--threads 1 --processor-time` leaves out what others take.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from segment_anything.build_sam import build_sam_vit_b
from transformers import SamConfig, SamImageProcessor, SamModel

from grounding_sdk import Image
from grounding_sdk.models.segmenters.decoding import at_once_and_cores, axes
from grounding_sdk.models.segmenters.hf_sam import HfSamSegmenter
from grounding_sdk.models.segmenters.segment_anything import SegmentAnythingSegmenter
from grounding_sdk.models.workers import share_out

SIZE = 960, 1280


def scaled(model: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(0)
    for name, value in model.state_dict().items():
        if "norm" not in name and value.ndim > 1 and value.is_floating_point():
            value.normal_(0, value[0].numel() ** -0.5, generator=generator)
    return model.eval()


class Transformers:
    """transformers' model as its documentation calls it, less the preprocessing."""

    def __init__(self, side: int) -> None:
        vision = {"image_size": side}
        prompts = {"image_size": side, "image_embedding_size": side // 16}
        self.model = scaled(
            SamModel(SamConfig(vision_config=vision, prompt_encoder_config=prompts))
        )
        square = {"height": side, "width": side}
        self.processor = SamImageProcessor(size={"longest_edge": side}, pad_size=square)
        self.segmenter = HfSamSegmenter(self.model, self.processor, name="ours")

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model.get_image_embeddings(pixels)

    def decode(self, features: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        output = self.model(
            image_embeddings=features, input_boxes=boxes[None], multimask_output=False
        )
        return output.pred_masks[0]

    def sparse(self, boxes: torch.Tensor) -> torch.Tensor:
        return self.model.prompt_encoder(None, None, boxes[None], None)[0][0]

    def masks(self, logits: torch.Tensor, input_size: tuple[int, int]) -> torch.Tensor:
        return self.processor.post_process_masks([logits], [SIZE], [input_size])[0][:, 0]


class Official:
    """segment-anything's model as `SamPredictor` calls it, less the preprocessing."""

    def __init__(self, side: int) -> None:
        if side != 1024:
            raise SystemExit("segment-anything's ViT-B has a side of 1024")
        self.model = scaled(build_sam_vit_b())
        self.segmenter = SegmentAnythingSegmenter(self.model)

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model.image_encoder(pixels)

    def decode(self, features: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        sparse, dense = self.model.prompt_encoder(points=None, boxes=boxes, masks=None)
        position = self.model.prompt_encoder.get_dense_pe()
        return self.model.mask_decoder(features, position, sparse, dense, False)[0]

    def sparse(self, boxes: torch.Tensor) -> torch.Tensor:
        return self.model.prompt_encoder(points=None, boxes=boxes, masks=None)[0]

    def masks(self, logits: torch.Tensor, input_size: tuple[int, int]) -> torch.Tensor:
        return self.model.postprocess_masks(logits, input_size, SIZE)[:, 0] > 0


PACKAGES = {"transformers": Transformers, "segment-anything": Official}


def compare(
    name: str,
    theirs: Callable[[], Any],
    ours: Callable[[], Any],
    *,
    repeats: int,
    clock: Callable[[], float],
    same: bool = True,
) -> None:
    rounds = []
    for _ in range(repeats):
        times, results = [clock()], []
        for run in (theirs, ours):
            results.append(run())
            times.append(clock())
        rounds.append(np.diff(times))
    said = ""
    if same:
        expected, found = map(torch.as_tensor, results)
        expected = expected[..., : found.shape[-2], : found.shape[-1]]
        said = f", difference {(found - expected).abs().max() / expected.abs().max():.1e}"
    slow, fast = (statistics.median(times) * 1000 for times in zip(*rounds, strict=True))
    ratio = statistics.median(one / other for one, other in rounds)
    sys.stdout.write(f"{name}: {slow:.0f} ms, ours {fast:.0f} ms, ratio {ratio:.2f}{said}\n")
    sys.stdout.flush()


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="+", choices=["encoder", "decoder", "masks", "second"])
    parser.add_argument("--package", choices=PACKAGES, default="transformers")
    parser.add_argument("--precision", choices=["exact", "fast"], default="exact")
    parser.add_argument("--boxes", type=int, nargs="+", default=[1, 20, 64])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", type=int, default=1024, help="of the input, less for a glance")
    parser.add_argument("--logits", action="store_true", help="make those of the padding, too")
    parser.add_argument("--processor-time", action="store_true")
    arguments = parser.parse_args()
    clock = time.process_time if arguments.processor_time else time.perf_counter
    measure = partial(compare, repeats=arguments.repeats, clock=clock)

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    package = PACKAGES[arguments.package](arguments.side)
    segmenter = package.segmenter
    segmenter.precision = arguments.precision
    rng = np.random.default_rng(0)
    pixels = torch.randn(1, 3, arguments.side, arguments.side)
    if "encoder" in arguments.parts:
        measure(
            "encoder",
            lambda: package.encode(pixels),
            lambda: segmenter._encoder(pixels)[0],
        )
    if {"decoder", "masks", "second"}.isdisjoint(arguments.parts):
        return

    # The encoder's own output would take long and be no better than numbers of its size.
    (embedding,) = fake_embedding(segmenter, arguments.side)
    features = embedding.features[0]

    def boxes(count: int) -> np.ndarray:
        corners = rng.uniform(0, 1, (count, 2, 2)) * [SIZE[1], SIZE[0]]
        return np.hstack([corners.min(axis=1), corners.max(axis=1)]).astype(np.float32)

    def in_input(given: np.ndarray) -> torch.Tensor:
        corners = embedding.to_input(given.reshape(-1, 2, 2)).reshape(-1, 4)
        return torch.tensor(corners, dtype=torch.float32)

    image = segmenter._decoder.share(embedding.features)

    side = arguments.side // 4
    needed = None if arguments.logits else [a.n_logits for a in axes(embedding, (side, side))]

    @torch.no_grad()
    def decode(given: torch.Tensor) -> torch.Tensor:
        return segmenter._decoder.decode(image, package.sparse(given), kept=needed)[0]

    def decode_all(given: torch.Tensor) -> torch.Tensor:
        at_once = at_once_and_cores(given.device, len(given))["at_once"]
        return torch.cat(share_out(decode, given.split(at_once), arguments.threads))

    def their_masks(encoded: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        return package.masks(package.decode(encoded, given), embedding.input_size)

    for count in arguments.boxes:
        given = boxes(count)
        theirs = in_input(given)
        ours = partial(segmenter.decode, embedding, given, logits=arguments.logits)
        if "decoder" in arguments.parts:
            both = partial(package.decode, features, theirs), partial(decode_all, theirs)
            measure(f"decoder, {count} boxes", *both)
        if "masks" in arguments.parts:
            run = partial(their_masks, features, theirs)
            measure(f"masks, {count} boxes", run, ours, same=False)
        if "second" in arguments.parts:
            measure(
                f"second query, {count} boxes",
                lambda given=theirs: their_masks(package.encode(pixels), given),
                ours,
                same=False,
            )


def fake_embedding(segmenter: Any, side: int) -> list[Any]:
    """What `encode` gives for an image of `SIZE`, without running the encoder."""

    def encoder(pixels: torch.Tensor) -> tuple[torch.Tensor, None]:
        return torch.randn(len(pixels), 256, side // 16, side // 16), None

    own, segmenter._encoder = segmenter._encoder, encoder
    embeddings = segmenter.encode([Image(np.zeros((*SIZE, 3), np.uint8))])
    segmenter._encoder = own
    return embeddings


if __name__ == "__main__":
    main()
