"""The golden BERT with a tokenizer of letters, as a folder and as an .edge file."""

import shutil
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

from edge.exporter import export

GOLDEN = Path(__file__).parent / "golden" / "encoders" / "bert"
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
BEGIN, END, UNKNOWN = 2, 3, 1
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
CONTEXT = 24  # of the golden's sentence_bert_config.json


def tokenizer() -> Tokenizer:
    """Words of known letters, one token a letter; texts between [CLS] and [SEP]; lower case."""
    pieces = [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", BEGIN), ("[SEP]", END)]
    )
    made.enable_truncation(8)  # as published files have it: the model's own length counts
    made.enable_padding(length=16)
    return made


def folder(path: Path) -> Path:
    shutil.copytree(GOLDEN, path)
    tokenizer().save(str(path / "tokenizer.json"))
    return path


def write(path: Path, quant: str = "float32") -> Path:
    export(folder(path.parent / f"{path.stem}-source"), path, quant=quant)
    return path
