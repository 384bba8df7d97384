"""Reading directories that `save_pretrained` of transformers wrote.

Nothing is downloaded, no code from the directory is run, no pickle is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from transformers.utils import logging

from grounding_sdk.errors import (
    ConfigError,
    CorruptWeightsError,
    MissingExtraError,
    MissingWeightsError,
)


def model_type(path: Path, expected: Sequence[str]) -> str:
    """Returns the `model_type` that a directory's config.json states.

    Raises:
        MissingWeightsError: If there is no config.json.
        CorruptWeightsError: If it is no JSON object.
        ConfigError: If the type is none of those expected.
    """
    config = path / "config.json"
    if not config.is_file():
        raise MissingWeightsError(
            f"no config.json in {path}: expected a directory that save_pretrained wrote, or a "
            f"downloaded repository of the hub"
        )
    try:
        found = json.loads(config.read_text(encoding="utf-8")).get("model_type")
    except (ValueError, AttributeError) as error:
        raise CorruptWeightsError(
            f"{config} is no JSON object ({error}): download it again"
        ) from error
    if found not in expected:
        raise ConfigError(
            f"{path} holds a model of type {found!r}, this adapter reads {', '.join(expected)}: "
            f"choose the adapter of that family"
        )
    return str(found)


def load_model(path: Path, model_class: Any, device: str) -> Any:
    """Loads a model: float32, eval mode, without gradients, on its device.

    Raises:
        MissingWeightsError: If there are no weights.
        CorruptWeightsError: If they cannot be read or do not fit the configuration.
        MissingExtraError: If the model needs a package that is not installed.
        ConfigError: If there is no such device.
    """
    safe = any(path.glob("*.safetensors"))
    if not safe and not any(path.glob("pytorch_model*.bin")):
        raise MissingWeightsError(
            f"{path} has a config.json but no weights (*.safetensors): save the model there with "
            f"save_pretrained, or download the whole repository"
        )
    with reading(path):
        model, report = model_class.from_pretrained(
            path,
            dtype=torch.float32,
            local_files_only=True,
            use_safetensors=safe,
            weights_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are reported below
        )
    wrong = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
    if wrong:  # transformers would go on with random numbers in their place
        raise CorruptWeightsError(
            f"the weights in {path} do not fit its config.json: {len(wrong)} tensors are missing "
            f"or have another shape, such as {wrong[0]}; download it again"
        )
    try:
        model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"the device {device!r} cannot be used ({_one_line(error)}): 'cpu' always can"
        ) from error
    return model.eval().requires_grad_(False)


@contextmanager
def reading(path: Path, part: str = "the model") -> Iterator[None]:
    """Keeps transformers quiet inside the block and turns what it raises into our errors.

    Its progress bars and log level are settings of the process; they are restored.
    """
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(
            f"{path} needs a package that is not installed: pip install 'grounding_sdk[timm]' "
            f"({_one_line(error)})"
        ) from error
    except UnpicklingError:  # whose text advises how to run the code all the same
        raise CorruptWeightsError(
            f"the weights in {path} are a pickle with more in it than tensors, which is not read: "
            f"get them as safetensors"
        ) from None
    except (SafetensorError, RuntimeError) as error:
        raise CorruptWeightsError(
            f"the weights in {path} cannot be read ({_one_line(error)}): download them again"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingWeightsError(
            f"{part} in {path} cannot be loaded: expected the files that save_pretrained of "
            f"model, tokenizer and image processor write ({_one_line(error)})"
        ) from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
