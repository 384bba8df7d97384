"""Linear layers that multiply in bfloat16 in a model whose weights and other layers are float32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import linear


def multiply_in(
    dtype: torch.dtype,
    model: torch.nn.Module,
    *,
    except_in: Sequence[str] = (),
    inner: Sequence[str] = (),
) -> None:
    """Sets the type in which the linear layers of a model multiply.

    Args:
        dtype: torch.float32 puts the layers back as they were.
        model: Of float32.
        except_in: Layers with one of these in their name stay as they are.
        inner: Layers of this last name hand on what they computed in `dtype`, which what follows
            must be able to take; the others hand on float32.
    """
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and not any(part in name for part in except_in):
            layer: Any = module
            vars(layer).pop("forward", None)
            if dtype != layer.weight.dtype:
                stays = name.rpartition(".")[2] in inner
                layer.forward = _Narrow(layer, dtype, dtype if stays else layer.weight.dtype)


class _Narrow:
    """The `forward` of a linear layer in another type, with a copy of its weights."""

    def __init__(
        self, layer: torch.nn.Linear, dtype: torch.dtype, output_dtype: torch.dtype
    ) -> None:
        self._weight = layer.weight.to(dtype)
        self._bias = None if layer.bias is None else layer.bias.to(dtype)
        self._output_dtype = output_dtype

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        product = linear(features.to(self._weight.dtype), self._weight, self._bias)
        return product.to(self._output_dtype)
