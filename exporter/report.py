"""What an export did: sizes, formats and errors, for people and for `export --json`."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.format.spec import TensorInfo

from .recipe import Recipe

Progress = Callable[[int, int], None]  # weights written, weights of the model


@dataclass(frozen=True)
class ExportReport:
    """One finished export; `tensors` in the order of the file."""

    output: Path
    bytes: int
    bits_per_weight: float  # of all tensors but bytes, padding included
    recipe: str
    seconds: float
    tensors: tuple[TensorInfo, ...]
    chat: str = "plain"  # "pattern", or "jinja2" if a chat needs that; "plain" has no template
    notes: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()  # what the recipe may have done to the model
    verification: dict[str, Any] | None = None  # a graph's outputs beside those of the float model

    def to_json(self) -> dict[str, Any]:
        """The document of `export --json`."""
        document = {
            "output": str(self.output),
            "bytes": self.bytes,
            "bits_per_weight": round(self.bits_per_weight, 4),
            "recipe": self.recipe,
            "seconds": round(self.seconds, 3),
            "chat": self.chat,
            "tensors": [_tensor(info) for info in self.tensors],
        }
        if self.verification is not None:
            document["verification"] = self.verification
        return document


def _tensor(info: TensorInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "format": info.format,
        "shape": list(info.shape),
        "bytes": info.nbytes,
        "error": info.error or 0.0,  # vectors and bytes are stored as they are
    }


def bits_per_weight(infos: Iterable[TensorInfo], parameters: int) -> float:
    return 8 * sum(i.nbytes for i in infos if i.format != "bytes") / parameters


def notes(
    recipe: Recipe, infos: Iterable[TensorInfo], fallen: Iterable[tuple[str, str]]
) -> tuple[str, ...]:
    """What a user may not expect of the recipe; `fallen` as Store notes them."""
    lost = tuple(f"{name}: {method} did better on held-out tokens" for name, method in fallen)
    return lost + _of_grids(recipe, infos)


def _of_grids(recipe: Recipe, infos: Iterable[TensorInfo]) -> tuple[str, ...]:
    matrices = [i for i in infos if len(i.shape) == 2]
    moved = [i for i in matrices if i.error]
    anew = [i for i in moved if i.format == str(recipe.body.format)]
    if recipe.name == "keep":
        return tuple(_of_kept(recipe, anew, [i for i in moved if i not in anew], len(matrices)))
    rounded = len(anew)
    if recipe.inexact is not None and rounded:
        return (f"{rounded} matrices were not {recipe.base} and were rounded by force",)
    return ()


def _of_kept(
    recipe: Recipe, anew: list[TensorInfo], rounded: list[TensorInfo], matrices: int
) -> Iterator[str]:
    if anew:
        form = recipe.body.format
        yield f"{len(anew)} of {matrices} matrices were on no grid of ours, now {form}"
    if rounded:
        worst = max(i.error or 0.0 for i in rounded)
        yield (
            f"{len(rounded)} of {matrices} matrices keep their codes; their scales, offsets "
            f"or levels are rounded, which moves weights by {worst:.2%} at most"
        )
