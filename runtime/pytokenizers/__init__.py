"""tokenizer.json read with Python alone, where the Rust package `tokenizers` cannot be had.

The names that edge uses are those of `tokenizers`; ids, offsets and decoded text are the same,
because each step follows that package (version 0.23). What it has and this has not is refused by
name. Text runs through the files in this order: added_tokens, normalizers, pretokenizers, the
model (bpe, unigram, wordpiece), processors; and back through decoders.
"""

from .tokenizer import Encoding, Tokenizer

__all__ = ["Encoding", "Tokenizer"]
