"""`Grounder`, the front door: words in, labelled boxes and masks out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from grounding_sdk.grounding import Grounding
from grounding_sdk.image import ImageLike
from grounding_sdk.models.cache import MEMORY, EmbeddingCache, open_cache
from grounding_sdk.models.ports import Detector, Segmenter
from grounding_sdk.models.registry import load_detector, load_segmenter
from grounding_sdk.pipeline import OnError, Pipeline, StageLike
from grounding_sdk.query import QueryLike
from grounding_sdk.sources import find_images
from grounding_sdk.stages import Detect, Merge, Parse, Refine, Relate, Segment, Tile
from grounding_sdk.text.rewrite import Rewriter

if TYPE_CHECKING:
    from grounding_sdk.models.precision import Precision


class Grounder:
    """Grounds phrases in images with a detector and a segmenter.

    Args:
        detector: A name ("mini", "grounding-dino:tiny"), a local directory, a hub id, or an
            object that has the methods of `Detector`.
        segmenter: Likewise; None gives boxes without masks.
        threshold: Lowest detector score, in [0, 1]; None takes the detector's own default. A
            phrase's own threshold comes before both.
        reader: How prompts are read: "auto" understands names, referring expressions and
            exclusions, "caption" looks for a sentence's nouns; see `Parse` for the others.
        rewriter: Gives names for what is asked by its use; see `Parse`. None asks nobody.
        tile: Side in pixels of the overlapping tiles in which large pictures are looked at; None
            looks at each picture as a whole.
        merge: How duplicates are removed; None keeps them.
        refine: How masks are cleaned up; None leaves them as the segmenter made them.
        cache: Where encoded pictures are kept for the next query; see `Segment`. None: nowhere.
        device: "cpu", "cuda", "cuda:1", ...; None takes a GPU where there is one.
        offline: Whether to keep off the model hub; None follows GROUNDING_SDK_OFFLINE and
            HF_HUB_OFFLINE.
        precision: "exact" or "fast" for both models; see `load_detector`.

    Raises:
        UnknownModelError: If a name is not known; the message lists what is near.
        MissingWeightsError: If the weights cannot be found or fetched.
    """

    def __init__(
        self,
        detector: str | Path | Detector = "mini",
        segmenter: str | Path | Segmenter | None = "mini",
        *,
        threshold: float | None = None,
        reader: str = "auto",
        rewriter: Rewriter | str | None = None,
        tile: int | None = None,
        merge: Merge | None = Merge(),
        refine: Refine | None = Refine(),
        cache: EmbeddingCache | str | Path | None = MEMORY,
        device: str | None = None,
        offline: bool | None = None,
        precision: Precision | None = None,
    ) -> None:
        stages: list[StageLike] = [Parse(reader, rewriter)]
        model = load_detector(detector, device=device, offline=offline, precision=precision)
        kept = cache if cache == MEMORY else open_cache(cache)  # once, for both models
        if tile is None:
            stages.append(Detect(model, threshold, cache=kept))
        else:
            stages.append(Tile(model, threshold, tile))
        if merge is not None:
            stages.append(merge)
        stages.append(Relate())
        if segmenter is not None:
            masker = load_segmenter(segmenter, device=device, offline=offline, precision=precision)
            stages.append(Segment(masker, kept))
            if refine is not None:
                stages.append(refine)
        self.pipeline = Pipeline(stages)

    @property
    def cache(self) -> EmbeddingCache | None:
        """Where encoded pictures are kept, with `stats()` and `clear()`; None for nowhere."""
        kept = [each.cache for each in self.pipeline.stages if isinstance(each, Detect | Segment)]
        return open_cache(kept[-1])

    def __call__(self, image: ImageLike, query: QueryLike) -> Grounding:
        """Grounds a query in one image.

        Args:
            image: Path, URL, bytes, PIL image, RGB array or tensor; see `Image.load`.
            query: "dog . red car", a list of phrases or a mapping from phrase to label; see
                `Query.of`.

        Raises:
            ImageError: If the picture cannot be read.
            QueryError: If the words make no query.
            PipelineError: If a model fails.
        """
        return self.pipeline(image, query)

    def many(
        self,
        images: str | Path | Iterable[ImageLike],
        query: QueryLike,
        *,
        batch_size: int = 4,
        on_error: OnError = "skip",
    ) -> Iterator[Grounding]:
        """Grounds a query in many images: lazily, in order, in batches.

        Args:
            images: A folder, a pattern such as "photos/*.jpg", or an iterable of images.
            query: As for one image.
            batch_size: Number of images that go through the models together.
            on_error: What to do about an image that fails: "skip" it with a logged warning,
                "raise", or a function that is called with the `PipelineError`.
        """
        return self.pipeline.stream(
            find_images(images), query, batch_size=batch_size, on_error=on_error
        )

    def __repr__(self) -> str:
        return f"Grounder({self.pipeline!r})"
