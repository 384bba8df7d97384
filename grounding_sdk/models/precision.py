"""How exactly models compute.

"exact" is float32 throughout. "fast" is bfloat16 in the large products where the device multiplies
bfloat16 in hardware (AMX or AVX-512 BF16 of a CPU, CUDA from Ampere on), about 1% off in features
and logits; where it does not, "fast" is float32 too, because emulated bfloat16 is several times
slower. What decides on boxes stays in float32: norms, sampling offsets, scores and box heads.

The default is "exact" on all hardware: the same picture gives the same result on every machine,
and how far bfloat16 moves boxes and the edges of masks was measured with random weights only.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch

from grounding_sdk.errors import ConfigError

Precision = Literal["exact", "fast"]
DEFAULT_PRECISION: Precision = "exact"


def check_precision(precision: str) -> None:
    """Does nothing where there is such a precision.

    Raises:
        ConfigError: If there is not.
    """
    if precision not in get_args(Precision):
        raise ConfigError(f"expected 'exact' or 'fast' as precision, got {precision!r}")


def dtype_of(precision: str, device: str | torch.device = "cpu") -> torch.dtype:
    """Returns the type of the large products.

    Raises:
        ConfigError: If there is no such precision.

    >>> dtype_of("exact")
    torch.float32
    """
    check_precision(precision)
    fast = precision == "fast" and is_fast_faster(device)
    return torch.bfloat16 if fast else torch.float32


class HasPrecision:
    """A model whose precision can be named; it says where it is and how to narrow itself."""

    _precision: Precision = DEFAULT_PRECISION

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        raise NotImplementedError

    @property
    def precision(self) -> Precision:
        """How exactly to compute: "exact" or "fast"; can be set. See `models.precision`."""
        return self._precision

    @precision.setter
    def precision(self, precision: Precision) -> None:
        dtype = dtype_of(precision, self.device)
        self._precision = precision
        self._multiply_in(dtype)

    def _multiply_in(self, dtype: torch.dtype) -> None:
        """Sets the type of the large products."""


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
