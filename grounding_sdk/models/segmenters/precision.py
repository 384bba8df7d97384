"""How exactly segmenters compute.

"exact" is float32 throughout. "fast" is bfloat16 in the large products of encoder and decoder,
about 1% off in embedding and logits, and pays only where the hardware multiplies bfloat16: without
AMX or AVX-512 a CPU emulates it and is several times slower than in float32.

The default is "exact" on all hardware: the same picture gives the same masks on every machine, and
how far bfloat16 moves the edges of masks was measured with random weights only. `is_fast_faster`
tells who wants speed where to ask for it.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch

from grounding_sdk.errors import ConfigError

Precision = Literal["exact", "fast"]
DEFAULT_PRECISION: Precision = "exact"


def dtype_of(precision: str) -> torch.dtype:
    """Returns the type of the large products.

    Raises:
        ConfigError: If there is no such precision.

    >>> dtype_of("fast")
    torch.bfloat16
    """
    if precision not in get_args(Precision):
        raise ConfigError(f"expected 'exact' or 'fast' as precision, got {precision!r}")
    return torch.bfloat16 if precision == "fast" else torch.float32


def is_fast_faster(device: str | torch.device = "cpu") -> bool:
    """Returns whether the device multiplies bfloat16 in hardware.

    Asked of the hardware, not timed, so that the answer is the same every time.
    """
    kind = torch.device(device).type
    if kind == "cpu":
        abilities = torch.cpu.get_capabilities()
        return bool(abilities.get("amx_bf16") or abilities.get("avx512_bf16"))
    if kind == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    return False
