"""Tiny random sentence encoders with the hidden states Hugging Face transformers gives them.

    python tests/golden/make_encoders.py        # needs torch, transformers, safetensors, numpy

Each case is a folder of encoders/:

    config.json         in the keys published checkpoints use
    model.safetensors   F16, with the heads that published checkpoints have beside the encoder
    modules.json, ...   where the case has them: what sentence-transformers keeps in a folder
    expected.npz        tokens   int32 [n], texts one after the other, with their special ids
                        lengths  int32 [texts]
                        hidden   float64 [n, hidden], each text by itself, in float64 arithmetic

This script checks that the hidden states show what a case is about: without it they must move by
more than `FAR`.
"""

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor, nn

HERE = Path(__file__).parent / "encoders"
SEED = 40
LENGTHS = (5, 1, 24, 13, 2)
MODES = "cls_token", "mean_tokens", "max_tokens"
FAR = 2e-4  # ten times what runtimes are held to

Config = dict[str, Any]
BERT: Config = {
    "architectures": ["BertModel"],
    "hidden_act": "gelu",
    "hidden_size": 64,
    "intermediate_size": 96,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 32,
    "model_type": "bert",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "pad_token_id": 0,
    "type_vocab_size": 2,
    "vocab_size": 80,
}


@dataclass(frozen=True)
class Case:
    """`without`: config keys, or edits of the weights, that the hidden states must notice."""

    name: str
    config: Config
    without: dict[str, Config | Callable[[dict[str, Tensor]], None]]
    files: dict[str, Any] = field(default_factory=dict)


def zero(suffix: str) -> Callable[[dict[str, Tensor]], None]:
    def edit(weights: dict[str, Tensor]) -> None:
        found = [name for name in weights if name.endswith(suffix)]
        assert found, suffix
        for name in found:
            weights[name] = torch.zeros_like(weights[name])

    return edit


def shifted_positions(weights: dict[str, Tensor]) -> None:
    name = next(n for n in weights if n.endswith("position_embeddings.weight"))
    weights[name] = weights[name].roll(1, 0)


def modules(pooling: str, normalize: bool, length: int) -> dict[str, Any]:
    """What sentence-transformers writes beside a model."""
    steps = ["", "1_Pooling", "2_Normalize"][: 3 if normalize else 2]
    kinds = "Transformer", "Pooling", "Normalize"
    return {
        "modules.json": [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(zip(steps, kinds, strict=False))
        ],
        "1_Pooling/config.json": {
            "word_embedding_dimension": 64,
            **{f"pooling_mode_{m}": m.startswith(pooling) for m in MODES},
        },
        "sentence_bert_config.json": {"max_seq_length": length, "do_lower_case": False},
    }


CASES = (
    Case(
        "bert",
        BERT,
        {
            "exact GELU": {"hidden_act": "gelu_pytorch_tanh"},
            "epsilon": {"layer_norm_eps": 1e-2},
            "token type 0": zero("token_type_embeddings.weight"),
            "value biases": zero("value.bias"),
            "norm biases": zero("LayerNorm.bias"),
            "positions": shifted_positions,
        },
        modules("mean", True, 24),
    ),
    Case(
        "roberta",
        BERT
        | {
            "architectures": ["RobertaModel"],
            "hidden_act": "gelu_new",
            "layer_norm_eps": 1e-5,
            "max_position_embeddings": 34,
            "model_type": "roberta",
            "pad_token_id": 1,
            "type_vocab_size": 1,
        },
        {"tanh GELU": {"hidden_act": "gelu"}, "positions from 2": shifted_positions},
        modules("cls", True, 32),
    ),
    Case(
        "distilbert",
        {
            "activation": "relu",
            "architectures": ["DistilBertModel"],
            "dim": 64,
            "hidden_dim": 96,
            "max_position_embeddings": 32,
            "model_type": "distilbert",
            "n_heads": 2,
            "n_layers": 2,
            "pad_token_id": 0,
            "vocab_size": 80,
        },
        {"ReLU": {"activation": "gelu"}, "positions": shifted_positions},
    ),
    Case(  # like TinyBERT's 312 = 12 x 26: neither heads nor rows are multiples of 16
        "narrow",
        BERT | {"hidden_size": 72, "intermediate_size": 100, "num_attention_heads": 3},
        {"exact GELU": {"hidden_act": "gelu_new"}, "output biases": zero("dense.bias")},
        modules("max", False, 32),
    ),
)


def random_weights(config: Config, rng: torch.Generator) -> dict[str, Tensor]:
    """Values that keep activations of order one and attention far from uniform; exact in F16."""
    weights = {}
    for name, shape in sorted((n, w.shape) for n, w in model_of(config).state_dict().items()):
        z = torch.randn(shape, generator=rng, dtype=torch.float64)
        if name.endswith(".bias"):
            z = 0.5 * z
        elif len(shape) == 1:
            z = 1 + 0.3 * z
        elif "embeddings" not in name:
            z = z * 1.5 / shape[1] ** 0.5
        weights[name] = z.half().double()
    return weights


def model_of(config: Config, weights: dict[str, Tensor] | None = None) -> nn.Module:
    parsed = transformers.AutoConfig.for_model(**copy.deepcopy(config))
    model = transformers.AutoModel.from_config(parsed, attn_implementation="eager").double()
    if weights is not None:
        model.load_state_dict(weights)
    return model.eval()


def hidden_of(model: nn.Module, tokens: Tensor) -> np.ndarray:
    """float64 [n, hidden] of the texts, one by one."""
    texts = tokens.split(list(LENGTHS))
    rows = [model(input_ids=ids[None]).last_hidden_state[0].numpy() for ids in texts]
    return np.concatenate(rows)


def check_shown(case: Case, weights: dict[str, Tensor], tokens: Tensor, hidden: np.ndarray) -> None:
    for feature, change in case.without.items():
        config, changed = case.config, dict(weights)
        if callable(change):
            change(changed)
        else:
            config = config | change
        far = np.abs(hidden_of(model_of(config, changed), tokens) - hidden).max()
        print(f"    without {feature:40} {far:8.4f}")
        assert far > FAR, f"{case.name}: the hidden states do not show {feature}"


def make(case: Case, seed: int) -> None:
    print(case.name)
    rng = torch.Generator().manual_seed(seed)
    weights = random_weights(case.config, rng)
    # Ids from 4 on: RoBERTa counts positions of tokens that are not padding.
    tokens = torch.randint(4, case.config["vocab_size"], (sum(LENGTHS),), generator=rng)
    hidden = hidden_of(model_of(case.config, weights), tokens)
    folder = HERE / case.name
    for name, content in {"config.json": case.config, **case.files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")
    stored = {name: w.half() for name, w in weights.items()}
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    np.savez_compressed(
        folder / "expected.npz",
        tokens=tokens.numpy().astype(np.int32),
        lengths=np.array(LENGTHS, np.int32),
        hidden=hidden,
    )
    check_shown(case, weights, tokens, hidden)


@torch.no_grad()
def main() -> None:
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    for i, case in enumerate(CASES):
        make(case, SEED + i)


if __name__ == "__main__":
    main()
