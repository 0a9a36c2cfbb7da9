"""The model that advice is asked for: a source, or an .edge file; headers only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import UnsupportedModel
from edge.format.encoder_config import EncoderConfig

if TYPE_CHECKING:
    from edge.exporter.architectures import Lowered
    from edge.exporter.sources import Source
    from edge.format.config import DecoderConfig
    from edge.format.reader import EdgeFile

FLOATS = ("F64", "F32", "F16", "BF16")
NEAR = ("Q8_0", "Q8_1", "int8", "bitsandbytes", "fp8")  # 8 bits: they may be rounded once more
TERNARY = ("TQ1_0", "TQ2_0", "I2_S", "bitnet", "ternary")


@dataclass(frozen=True)
class Subject:
    """stored  what the matrices of its layers are: "F16", "Q4_0", "gptq", or a format of edge
    file    if it is an .edge file, which is as it is
    """

    name: str
    config: DecoderConfig
    parameters: int
    stored: str
    source: Source | None = None
    model: Lowered | None = None
    file: EdgeFile | None = None

    @property
    def is_ternary(self) -> bool:
        return self.stored.split("-")[0] in TERNARY or self.config.architecture == "bitnet"

    @property
    def is_exact(self) -> bool:
        """Its weights are as they were trained, or nearly so."""
        return self.stored in FLOATS or self.stored.split("-")[0] in NEAR


def open_subject(path: str | Path) -> Subject:
    """Raises FormatError or SourceError as opening it does, UnsupportedModel if edge lacks it."""
    if Path(path).is_file() and Path(path).suffix == ".edge":
        return _a_language_model(of_file(Path(path)))
    from edge.exporter.sources import open_source

    return _a_language_model(of_source(open_source(path)))


def _a_language_model(subject: Subject) -> Subject:
    """What recipes cost is known of these."""
    if isinstance(subject.config, EncoderConfig):
        raise UnsupportedModel(
            f"{subject.name}: advice is about language models; take int8 for a sentence encoder"
        )
    return subject


def of_source(source: Source) -> Subject:
    from edge.exporter.architectures import lower

    model = lower(source)
    body = [t for t in model.tensors if t.name.startswith("layers.") and len(t.shape) == 2]
    kinds = [source.stored_type(t.source) for t in body]
    return Subject(
        name=source.name,
        config=model.config,
        parameters=model.parameters,
        stored=max(sorted(set(kinds)), key=kinds.count),
        source=source,
        model=model,
    )


def of_file(path: Path) -> Subject:
    from edge.format.reader import EdgeFile

    file = EdgeFile(path)
    sizes: dict[str, int] = {}
    for info in file.tensors.values():
        if info.name.startswith("layers.") and len(info.shape) == 2:
            sizes[info.format] = sizes.get(info.format, 0) + info.nbytes
    return Subject(
        name=path.name,
        config=file.config,
        parameters=file.document["parameters"],
        stored=max(sizes, key=lambda form: sizes[form]) if sizes else "float32",
        file=file,
    )
