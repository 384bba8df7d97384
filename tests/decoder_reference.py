"""What packages' own mask decoders give, one prompt at a time."""

import torch

from grounding_sdk.models.segmenters.folded_decoder import Wanted


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def is_official(model):
    return not hasattr(model, "config")


@torch.no_grad()
def reference(model, position, features, sparse, dense, wanted):
    """The package's decoder, one prompt at a time."""
    several = wanted is not Wanted.SINGLE
    results = []
    for i in range(len(sparse)):
        own = dense[i : i + 1] if dense is not None else no_mask(model)
        if is_official(model):
            found = model.mask_decoder(features[-1], position, sparse[i : i + 1], own, several)
        else:
            given = {}
            if hasattr(model.mask_decoder, "hq_token"):
                given = {"intermediate_embeddings": features[:-1], "hq_token_only": False}
            elif len(features) > 1:
                given = {"high_resolution_features": features[:-1]}
            found = model.mask_decoder(
                features[-1], position, sparse[None, i : i + 1], own, several, **given
            )
            found = [value.flatten(0, 1) for value in found[:2]]
        logits, scores = found[:2]
        if wanted is Wanted.BEST:
            best = scores.argmax(dim=1)
            logits, scores = logits[:, best], scores[:, best]
        results.append((logits, scores))
    return [torch.cat(values) for values in zip(*results, strict=True)]


def no_mask(model):
    return model.prompt_encoder.no_mask_embed.weight.view(1, -1, 1, 1).expand(
        -1, -1, *model.prompt_encoder.image_embedding_size
    )


def assert_same(found, expected, tolerance=1e-5):
    """Within a tolerance relative to the largest number."""
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert (one - other).abs().max() <= tolerance * other.abs().max()
