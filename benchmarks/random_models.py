"""GGUF files of real shapes with random weights: what they compute is noise, how fast is not.

    python benchmarks/random_models.py SHAPE TYPE OUT.gguf

SHAPE  llama-1.1b (TinyLlama), bitnet-2b (BitNet b1.58 2B4T) or bitnet-small (for an emulator)
TYPE   q4_0, q4_k_m, q8_0 or tq2_0

Scales are chosen so that activations stay of order one.  Norms are ones.
"""

import argparse
from dataclasses import dataclass

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type


@dataclass(frozen=True)
class Shape:
    architecture: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    feed_forward: int
    vocabulary: int
    tied: bool
    sub_norms: bool


SHAPES = {
    "llama-1.1b": Shape("llama", 22, 2048, 32, 4, 5632, 32000, False, False),
    "bitnet-small": Shape("bitnet", 12, 768, 12, 4, 2048, 8192, True, True),
    "bitnet-2b": Shape("bitnet", 30, 2560, 20, 5, 6912, 128256, True, True),
}
TYPES = {"q4_0": Type.Q4_0, "q4_k_m": Type.Q4_K, "q8_0": Type.Q8_0, "tq2_0": Type.TQ2_0}
SPREADS = {  # of the codes with their multipliers; where a block has its scale
    Type.Q4_0: (4.6, 0),
    Type.Q4_K: (4.6 * 32, 0),
    Type.Q6_K: (18 * 64, 208),
    Type.Q8_0: (74, 0),
    Type.TQ2_0: (0.82, 64),
}
TRITS = np.array(
    [a | b << 2 | c << 4 | d << 6 for a in range(3) for b in range(3) for c in range(3) for d in range(3)],
    np.uint8,
)  # fmt: skip


def blocks(kind: Type, rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """uint8 [rows, bytes of a row] of random weights of variance 1 / columns."""
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    count = rows * columns // elements
    noise = rng.integers(0, 256, 2**22, np.uint8)
    if kind == Type.TQ2_0:
        noise = TRITS[noise % len(TRITS)]
    data = np.resize(noise, count * size).reshape(count, size)
    spread, at = SPREADS[kind]
    scale = columns**-0.5 / spread
    data[:, at : at + 2] = _half(scale)
    if kind == Type.Q6_K:
        data[:, 192:208] = 64
    if kind == Type.Q4_K:  # multipliers of 32 everywhere; offsets that make the mean 0
        data[:, 2:4] = _half(7.5 * scale)
        data[:, 4:12], data[:, 12:16] = 0xA0, 0
    return data.reshape(rows, -1)


def _half(value: float) -> np.ndarray:
    return np.frombuffer(np.float16(value).tobytes(), np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("type", choices=TYPES)
    parser.add_argument("out")
    arguments = parser.parse_args()
    write(SHAPES[arguments.shape], TYPES[arguments.type], arguments.out)


def write(s: Shape, kind: Type, out: str) -> None:
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(out, s.architecture)
    _metadata(writer, s)

    def matrix(name: str, rows: int, columns: int, kind: Type = kind) -> None:
        writer.add_tensor(f"{name}.weight", blocks(kind, rows, columns, rng), raw_dtype=kind)

    def vector(name: str, size: int) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(size, np.float32))

    head = Type.Q8_0 if kind == Type.Q8_0 else Type.Q6_K
    matrix("token_embd", s.vocabulary, s.hidden, head if s.tied else Type.Q4_0)
    if not s.tied:
        matrix("output", s.vocabulary, s.hidden, head)
    vector("output_norm", s.hidden)
    kv = s.hidden // s.heads * s.kv_heads
    for i in range(s.layers):
        layer, better = f"blk.{i}.", Type.Q6_K if _is_better(i, s.layers, kind) else kind
        for name, rows, own in (
            ("attn_q", s.hidden, kind), ("attn_k", kv, kind), ("attn_v", kv, better),
        ):  # fmt: skip
            matrix(layer + name, rows, s.hidden, own)
        matrix(layer + "attn_output", s.hidden, s.hidden)
        for name in ("ffn_gate", "ffn_up"):
            matrix(layer + name, s.feed_forward, s.hidden)
        matrix(layer + "ffn_down", s.hidden, s.feed_forward, better)
        for name in ("attn_norm", "ffn_norm", *["attn_sub_norm"] * s.sub_norms):
            vector(layer + name, s.hidden)
        if s.sub_norms:
            vector(layer + "ffn_sub_norm", s.feed_forward)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _is_better(layer: int, layers: int, kind: Type) -> bool:
    """Where Q4_K_M has Q6_K: an eighth of the layers at both ends, a third between them."""
    eighth = layers // 8
    at_an_end = layer < eighth or layer >= 7 * layers // 8
    return kind == Type.Q4_K and (at_an_end or (layer - eighth) % 3 == 2)


def _metadata(writer: gguf.GGUFWriter, s: Shape) -> None:
    writer.add_context_length(4096)
    writer.add_embedding_length(s.hidden)
    writer.add_block_count(s.layers)
    writer.add_feed_forward_length(s.feed_forward)
    writer.add_head_count(s.heads)
    writer.add_head_count_kv(s.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(s.hidden // s.heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(s.vocabulary)
    byte_tokens = [f"<0x{i:02X}>" for i in range(256)]
    tokens = ["<unk>", "<s>", "</s>", *byte_tokens]
    tokens += [f"tok{i}" for i in range(s.vocabulary - len(tokens))]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * s.vocabulary)
    writer.add_token_types([2, 3, 3] + [6] * 256 + [1] * (s.vocabulary - 259))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


if __name__ == "__main__":
    main()
