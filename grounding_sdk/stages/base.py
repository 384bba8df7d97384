"""What a stage is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from grounding_sdk.errors import ConfigError
from grounding_sdk.grounding import Grounding


@runtime_checkable
class Stage(Protocol):
    """A callable from groundings to groundings: same number, same order."""

    @property
    def name(self) -> str:
        """What the trace and errors call it."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns that must exist before it runs."""
        ...

    @property
    def adds(self) -> tuple[str, ...]:
        """Columns that exist after it has run."""
        ...

    def __call__(self, items: Sequence[Grounding]) -> list[Grounding]:
        """Transforms a batch."""
        ...


@dataclass(frozen=True)
class FunctionStage:
    """Makes a stage of a plain function that takes one grounding and returns one."""

    function: Callable[[Grounding], Grounding]
    name: str
    needs: tuple[str, ...] = ()
    adds: tuple[str, ...] = ()

    def __call__(self, items: Sequence[Grounding]) -> list[Grounding]:
        """Applies the function to each item.

        Raises:
            ConfigError: If the function returns anything but a grounding.
        """
        return [self._checked(self.function(item)) for item in items]

    def _checked(self, result: Grounding) -> Grounding:
        if not isinstance(result, Grounding):
            raise ConfigError(
                f"stage '{self.name}' returned {type(result).__name__}, expected a Grounding: "
                f"does the function end with 'return'?"
            )
        return result
