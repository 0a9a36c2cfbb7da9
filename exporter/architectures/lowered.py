"""A source model in our words: what lowering comes to."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from edge.errors import FormatError, SourceError
from edge.format.encoder_config import EncoderConfig

from .placement import Placement

Config = TypeVar("Config")


@dataclass(frozen=True)
class Lowered:
    """A source model in our words.

    config    the decoder or encoder, its heads padded as they are stored
    tensors   where each of our tensors comes from, in the order of the file
    notes     what people should know about it
    """

    config: Any  # DecoderConfig or EncoderConfig, as `kind` says
    tensors: tuple[Placement, ...]
    notes: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """As the file's header calls it."""
        return "encoder" if isinstance(self.config, EncoderConfig) else "decoder"

    @property
    def parameters(self) -> int:
        """Weights of the model: without padding, a tied embedding once."""
        shapes = {(t.source, t.first_row): t.shape for t in self.tensors}
        return sum(map(math.prod, shapes.values()))


def checked(
    config: Config, from_json: Callable[[dict[str, Any], str], Config], where: str
) -> Config:
    """The configuration as a reader of the file will take it."""
    try:
        return from_json(json.loads(json.dumps(asdict(config))), where)  # type: ignore[call-overload]
    except FormatError as error:
        raise SourceError(str(error)) from None
