"""LoRA adapters of PEFT, merged into the weights of a base model as they are read.

adapter_model.safetensors has for each adapted module X lora_A [r, columns] and lora_B [rows, r]
(of an embedding, lora_embedding_A [r, vocabulary] and lora_embedding_B [hidden, r]), which add
W += scale * B A with scale = alpha / r, or alpha / sqrt(r) (rsLoRA); and whole tensors that take the
place of the base's (modules_to_save, biases). fan_in_fan_out is about layers that no family here
has; PEFT does not heed it for others either.

Source: peft/tuners/lora/layer.py and model.py; Hu et al. 2021; Kalajdzievski 2023 (rsLoRA).
"""

import hashlib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import SourceError, UnsupportedModel
from edge.format.addends import LowRank
from edge.format.formats import QuantizedTensor

from ..rows import row_blocks
from . import Source, TokenizerFiles
from .files import read_json_object, sha256_of_files
from .safetensors_file import SafetensorsFile

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
LARGEST_ALPHA = 1e30  # float32 holds it
LEAST_SAVING = 8  # sides of a matrix in a rank, for the pair to lie beside it
PREFIX = "base_model.model."
# Settings whose adapters are more than W += scale * B A, or whose base is not the published one.
REFUSED = (
    *("use_dora", "use_qalora", "use_bdlora", "layer_replication", "lora_bias"),
    *("alora_invocation_tokens", "trainable_token_indices", "target_parameters"),
    *("arrow_config", "kasa_config", "monteclora_config"),
)
OF_ANOTHER_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
FACTOR = re.compile(
    r"(?P<module>.+)\.lora_(?P<kind>embedding_)?(?P<part>[AB])(\.default)?(\.weight)?"
)


@dataclass(frozen=True)
class Pair:
    """W += scale * B A; names of the factors in the file."""

    a: str
    b: str
    scale: float
    turned: bool  # an embedding's, of W^T


class LoraSource:
    """A base model with an adapter merged into it, one tensor at a time.

    apart  where the base's matrix stays on its grid, the pair does not change it but lies beside it
    """

    def __init__(self, base: Source, folder: str | Path, apart: bool = False) -> None:
        self.base, self.folder, self.apart = base, Path(folder), apart
        if not (self.folder / CONFIG).is_file():
            raise SourceError(f"{self.folder}: not a LoRA adapter: {CONFIG} is missing")
        settings = read_json_object(self.folder / CONFIG)
        _check(settings, self.folder)
        self._file = SafetensorsFile(self.folder / WEIGHTS)
        self._base_names = frozenset(base.names())
        self.name = f"{base.name} + {self.folder.resolve().name}"
        self.config, self.generation = base.config, base.generation
        self.norms_are_folded, self.grids_are_exact = base.norms_are_folded, base.grids_are_exact
        self.reorders = base.reorders
        self._low_rank, self._whole = _found(self._file, settings)
        shapes = {name: self._product_shape(pair) for name, pair in self._low_rank.items()}
        stored = {name: self._file.tensors[theirs].shape for name, theirs in self._whole.items()}
        for name, shape in [*shapes.items(), *stored.items()]:
            self._check_fits(name, shape)
        self._check_no_folded_norm()

    def digest(self) -> str:
        """SHA-256 of the two digests' text, and of how they go together."""
        adapter = sha256_of_files([self.folder / CONFIG, self.folder / WEIGHTS])
        return hashlib.sha256(
            f"{self.base.digest()}\n{adapter}\n{self.apart}\n".encode()
        ).hexdigest()

    def names(self) -> Iterable[str]:
        return self.base.names()

    def shape(self, name: str) -> tuple[int, ...]:
        return self.base.shape(name)

    def stored_type(self, name: str) -> str:
        return self.base.stored_type(name)

    def read(self, name: str) -> np.ndarray:
        whole = self._whole.get(name)
        values = self.base.read(name) if whole is None else self._file.read(whole)
        if name in self._low_rank:
            self._add(values, self._low_rank[name])
        return values

    def kept(self, name: str) -> QuantizedTensor | None:
        """Of what the adapter leaves alone, or what it lies beside; a sum is on no grid."""
        touched = name in self._low_rank or name in self._whole
        return self.base.kept(name) if not touched or self._is_apart(name) else None

    def beside(self, name: str) -> LowRank | None:
        """What is added to the product of a matrix that stays on its grid; float16 holds it."""
        if not self._is_apart(name):
            return None
        pair = self._low_rank[name]
        with np.errstate(over="ignore", invalid="ignore"):
            left = self._file.read(pair.b) * np.float32(pair.scale)
            return LowRank(_halves(left), _halves(self._file.read(pair.a)))

    def _is_apart(self, name: str) -> bool:
        """Not of an embedding, nor where it saves nothing."""
        pair = self._low_rank.get(name)
        if not self.apart or pair is None or pair.turned or name in self._whole:
            return False
        rank = self._file.tensors[pair.a].shape[0]
        return LEAST_SAVING * rank <= min(self.base.shape(name))

    def tokenizer(self) -> TokenizerFiles | None:
        return self.base.tokenizer()

    def _add(self, values: np.ndarray, pair: Pair) -> None:
        a, b = self._file.read(pair.a), self._file.read(pair.b)
        if pair.turned:
            a, b = b.T, a.T
        with np.errstate(over="ignore", invalid="ignore"):  # who reads the weights looks for NaN
            a = a * np.float32(pair.scale)
            for at in row_blocks(values.shape):
                values[at] += b[at] @ a

    def _product_shape(self, pair: Pair) -> tuple[int, ...]:
        a, b = self._file.tensors[pair.a].shape, self._file.tensors[pair.b].shape
        return (a[1], b[0]) if pair.turned else (b[0], a[1])

    def _check_fits(self, name: str, shape: tuple[int, ...]) -> None:
        """The base has such a tensor, of this shape."""
        theirs = tuple(self.base.shape(name)) if name in self._base_names else None
        if theirs != shape:
            has = "has none" if theirs is None else f"has {list(theirs)}"
            raise SourceError(
                f"{self.folder}: the adapter's {name!r:.200} is for shape {list(shape)}, "
                f"{self.base.name} {has}; choose the model that was adapted"
            )

    def _check_no_folded_norm(self) -> None:
        norms = [name for name in self._whole if name.endswith("norm.weight")]
        if norms and self.norms_are_folded:
            raise UnsupportedModel(
                f"{self.folder}: the adapter replaces {norms[0]!r:.200}, and GGUF files may store "
                "norms changed; take the base's Hugging Face folder"
            )


def _check(settings: dict[str, Any], folder: Path) -> None:
    kind = settings.get("peft_type")
    if kind != "LORA":
        raise UnsupportedModel(f"{folder}: an adapter of the type {kind!r:.40}; edge merges LORA")
    for name in REFUSED:
        if settings.get(name):
            raise UnsupportedModel(
                f"{folder}: the adapter says {name}; merge it with PEFT (merge_and_unload) and "
                "export the result"
            )
    start = settings.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(OF_ANOTHER_BASE):
        raise UnsupportedModel(
            f"{folder}: an adapter of a base that {start!r:.40} changed; save it as plain LoRA "
            "(path_initial_model_for_weight_conversion)"
        )


def _found(
    file: SafetensorsFile, settings: dict[str, Any]
) -> tuple[dict[str, Pair], dict[str, str]]:
    """By the base's names: pairs of factors, and the names of whole tensors."""
    factors: dict[str, dict[str, str]] = {}
    turned: dict[str, bool] = {}
    whole: dict[str, str] = {}
    for name in file.tensors:
        match = FACTOR.fullmatch(name.removeprefix(PREFIX))
        if match is None:
            whole[_base_name(name)] = name
        else:
            factors.setdefault(match["module"], {})[match["part"]] = name
            turned[match["module"]] = match["kind"] is not None
    pairs = {
        f"{module}.weight": _pair(file, module, parts, turned[module], settings)
        for module, parts in factors.items()
    }
    if not pairs and not whole:
        raise SourceError(f"{file.path}: an adapter without tensors")
    return pairs, whole


def _base_name(name: str) -> str:
    """The base's name of a tensor that was saved whole."""
    plain = name.removeprefix(PREFIX)
    for wrapped in (".modules_to_save.default", ".modules_to_save", ".base_layer"):
        plain = plain.replace(f"{wrapped}.", ".")
    return plain


def _pair(
    file: SafetensorsFile,
    module: str,
    parts: dict[str, str],
    turned: bool,
    settings: dict[str, Any],
) -> Pair:
    where = f"{file.path}: {module!r:.200}"
    if len(parts) != 2:
        raise SourceError(f"{where} has one factor of two: lora_{min(parts)}")
    a, b = (file.tensors[parts[part]] for part in "AB")
    fits = len(a.shape) == len(b.shape) == 2 and a.shape[0] == b.shape[1] > 0
    if not fits or {a.dtype, b.dtype} - {"F32", "F16", "BF16"}:
        raise SourceError(
            f"{where}: factors {a.dtype} {list(a.shape)} and {b.dtype} {list(b.shape)}, expected "
            "floats [r, columns] and [rows, r]"
        )
    return Pair(parts["A"], parts["B"], _scale(module, a.shape[0], settings, where), turned)


def _scale(module: str, rank: int, settings: dict[str, Any], where: str) -> float:
    alpha = _patterned(module, settings, "alpha_pattern", settings.get("lora_alpha"))
    stated = _patterned(module, settings, "rank_pattern", settings.get("r"))
    if type(alpha) not in (int, float) or not abs(alpha) < LARGEST_ALPHA or stated != rank:
        raise SourceError(
            f"{where}: lora_alpha {alpha!r:.40} and rank {stated!r:.40}, the factors have {rank}"
        )
    return float(alpha) / (math.sqrt(rank) if settings.get("use_rslora") else rank)


def _patterned(module: str, settings: dict[str, Any], key: str, otherwise: Any) -> Any:
    """The value for a module of a table whose keys are ends of modules' names."""
    table = settings.get(key) or {}
    if not isinstance(table, dict):
        raise SourceError(f"{key} of the adapter is not a JSON object: {table!r:.60}")
    for end, value in table.items():
        plain = end.removeprefix("^").replace("\\.", ".")
        if not re.fullmatch(r"[\w.]+", plain):
            raise UnsupportedModel(
                f"{key} of the adapter has the expression {end!r:.60}; edge reads names of modules"
            )
        if module == plain or module.endswith("." + plain):
            return value
    return otherwise


def _halves(values: np.ndarray) -> np.ndarray:
    halves: np.ndarray = values.astype(np.float16).astype(np.float32)
    if not np.isfinite(halves).all():
        raise SourceError("factors of the adapter are beyond float16; merge it (no --lora-apart)")
    return halves
