"""What a folder of sentence-transformers says about how texts become vectors.

modules.json lists the steps, each with a folder of its own: the transformer, pooling, and often
a normalization.  sentence_bert_config.json (or sentence_roberta_config.json, ...) has the length
that texts are cut to.  https://www.sbert.net/docs/sentence_transformer/usage/custom_models.html
"""

import json
from pathlib import Path
from typing import Any

from edge.errors import SourceError, UnsupportedModel

from .files import read_json_object, read_text

MODULES, PROMPTS = "modules.json", "config_sentence_transformers.json"
POOLINGS = {  # keys of a pooling's config.json -> ours
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
}


def sentence_files(folder: Path) -> list[Path]:
    """The files that are read, in a fixed order."""
    found = [folder / MODULES, folder / PROMPTS, *_settings(folder)]
    pooling = [
        folder / path / "config.json" for kind, path in _modules(folder) if kind == "Pooling"
    ]
    return [path for path in [*found, *pooling] if path.is_file()]


def sentence_settings(folder: Path) -> dict[str, Any] | None:
    """{"pooling", "normalize", "max_length", "prompt"}; None if the folder says nothing.

    Raises SourceError for broken files, UnsupportedModel for steps that edge does not have.
    """
    modules = _modules(folder)
    if not modules:
        return None
    kinds = [kind for kind, _ in modules]
    for kind in kinds:
        if kind not in ("Transformer", "Pooling", "Normalize"):
            raise UnsupportedModel(
                f"{folder / MODULES}: a step {kind!r:.60}; edge has Transformer, Pooling, Normalize"
            )
    settings: dict[str, Any] = {"normalize": "Normalize" in kinds}
    for kind, path in modules:
        if kind == "Pooling":
            settings["pooling"] = _pooling(folder / path / "config.json")
    return settings | _length(folder) | _prompt(folder)


def _modules(folder: Path) -> list[tuple[str, str]]:
    """(kind, folder) of the steps."""
    path = folder / MODULES
    if not path.is_file():
        return []
    text = read_text(path)
    try:
        steps = [(step["type"].rsplit(".", 1)[-1], step["path"]) for step in json.loads(text)]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise SourceError(f"{path}: not a list of steps with type and path") from None
    return [(kind, _inside(name, path)) for kind, name in steps]


def _inside(name: Any, where: Path) -> str:
    """A folder beside modules.json, or that folder itself."""
    if not isinstance(name, str) or (name and Path(name).name != name):
        raise SourceError(f"{where}: path {name!r:.80} is not a folder beside it")
    return name


def _pooling(path: Path) -> str:
    config = read_json_object(path)
    chosen = [key for key, value in config.items() if key.startswith("pooling_mode") and value]
    named = config.get("pooling_mode")
    modes = [str(named)] if named else [POOLINGS.get(key, key) for key in chosen]
    if len(modes) != 1 or modes[0] not in POOLINGS.values():
        raise UnsupportedModel(
            f"{path}: pooling {', '.join(modes)!r:.100}; edge has one of "
            f"{', '.join(POOLINGS.values())}"
        )
    return modes[0]


def _settings(folder: Path) -> list[Path]:
    return sorted(folder.glob("sentence_*_config.json"))


def _length(folder: Path) -> dict[str, Any]:
    for path in _settings(folder):
        config = read_json_object(path)
        if config.get("do_lower_case"):
            raise UnsupportedModel(
                f"{path}: do_lower_case outside the tokenizer; put it into tokenizer.json"
            )
        if config.get("max_seq_length") is not None:
            return {"max_length": config["max_seq_length"]}
    return {}


def _prompt(folder: Path) -> dict[str, Any]:
    path = folder / PROMPTS
    config = read_json_object(path) if path.is_file() else {}
    prompts, name = config.get("prompts"), config.get("default_prompt_name")
    prompt = prompts.get(name) if isinstance(prompts, dict) and isinstance(name, str) else None
    return {"prompt": prompt} if isinstance(prompt, str) else {}
