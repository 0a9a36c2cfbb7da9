"""BERT in float64 NumPy over a source's own tensors (Devlin et al. 2018, arXiv:1810.04805)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import oracle

_ACTIVATIONS = {"gelu": oracle.exact_gelu, "gelu_new": oracle.gelu, "relu": oracle.relu}
_BERT = {
    "query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
    "output": "attention.output.dense", "attention_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense", "down": "output.dense", "feed_forward_norm": "output.LayerNorm",
}  # fmt: skip
_DISTILBERT = {
    "query": "attention.q_lin", "key": "attention.k_lin", "value": "attention.v_lin",
    "output": "attention.out_lin", "attention_norm": "sa_layer_norm",
    "up": "ffn.lin1", "down": "ffn.lin2", "feed_forward_norm": "output_layer_norm",
}  # fmt: skip


class Bert:
    """The model of a source; `seen` gets (layer, name of a matrix, what it reads [tokens, columns])."""

    def __init__(self, source: Any, seen: Callable[[int, str, np.ndarray], None] | None = None):
        c, self.source = source.config, source
        self.seen = seen or (lambda layer, name, x: None)
        self.distilled = c["model_type"] == "distilbert"
        self.heads = c["n_heads" if self.distilled else "num_attention_heads"]
        self.layers = c["n_layers" if self.distilled else "num_hidden_layers"]
        self.act = _ACTIVATIONS[c["activation" if self.distilled else "hidden_act"]]
        self.epsilon = c.get("layer_norm_eps", 1e-12)
        self.reserved = 2 if c["model_type"] == "roberta" else 0

    def hidden(self, ids: np.ndarray) -> np.ndarray:
        """float64 [tokens, hidden] after the last layer."""
        x = self._read("embeddings.word_embeddings.weight")[ids]
        x = x + self._read("embeddings.position_embeddings.weight")[self.reserved :][: len(ids)]
        if not self.distilled:
            x = x + self._read("embeddings.token_type_embeddings.weight")[0]
        x = self._norm("embeddings.LayerNorm", x)
        for layer in range(self.layers):
            x = self._layer(layer, x)
        return x

    def _layer(self, i: int, x: np.ndarray) -> np.ndarray:
        q, k, v = (
            self._linear(i, n, x).reshape(len(x), self.heads, -1) for n in ("query", "key", "value")
        )
        attended = oracle.bidirectional(q, k, v, q.shape[2] ** -0.5).reshape(len(x), -1)
        x = self._norm(self._name(i, "attention_norm"), x + self._linear(i, "output", attended))
        down = self._linear(i, "down", self.act(self._linear(i, "up", x)))
        return self._norm(self._name(i, "feed_forward_norm"), x + down)

    def _linear(self, i: int, name: str, x: np.ndarray) -> np.ndarray:
        self.seen(i, name, x)
        stem = self._name(i, name)
        return x @ self._read(f"{stem}.weight").T + self._read(f"{stem}.bias")

    def _norm(self, stem: str, x: np.ndarray) -> np.ndarray:
        weight, bias = self._read(f"{stem}.weight"), self._read(f"{stem}.bias")
        return oracle.layer_norm(x, weight, bias, self.epsilon)

    def _name(self, i: int, name: str) -> str:
        if self.distilled:
            return f"transformer.layer.{i}.{_DISTILBERT[name]}"
        return f"encoder.layer.{i}.{_BERT[name]}"

    def _read(self, name: str) -> np.ndarray:
        return self.source.read(name).astype(np.float64)
