"""Text to ids and back, as a whole and as it streams."""

import sys

import pytest
import tiny_model
from tokenizers import Tokenizer as Engine
from tokenizers import decoders, models, normalizers

from edge.errors import EdgeError, FormatError
from edge.format.reader import EdgeFile
from edge.runtime.pytokenizers import Tokenizer as PythonEngine
from edge.runtime.tokenizer import Tokenizer, engine

TEXTS = [
    "plain words",
    "naïve café 你好 안녕 👩‍👩‍👧‍👦 🇩🇪",
    "  spaces  and\n\nlines\t",
    "a replacement \ufffd in the text",
    "\ufffd\ufffd",
    "",
]


@pytest.fixture(params=["rust", "python"])
def package(request, monkeypatch):
    """Each of the two packages as the one that edge finds."""
    if request.param == "python":
        monkeypatch.setitem(sys.modules, "tokenizers", None)
    return request.param


def made(like: Engine, *rest, **options) -> Tokenizer:
    """A tokenizer by the package that edge finds."""
    return Tokenizer(engine().from_str(like.to_str()), *rest, **options)


@pytest.fixture
def byte_level(package):
    special = tiny_model.BEGIN, (tiny_model.END,)
    return made(tiny_model.tokenizer(), tiny_model.CONFIG.vocabulary, *special, add_bos=True)


@pytest.fixture
def sentence_piece(package):
    """Words with a visible space, bytes for all else, as Llama 2 has them."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]
    pieces += ["▁", "▁Hello", "▁world", "a", "b"]
    like = Engine(models.Unigram([(p, -1.0) for p in pieces], unk_id=0, byte_fallback=True))
    like.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    like.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return made(like, len(pieces), 1, (2,), add_bos=True)


@pytest.mark.parametrize("text", TEXTS)
def test_text_survives_a_round_trip(byte_level, text):
    assert byte_level.decode(byte_level.encode(text)) == text


@pytest.mark.parametrize("kind", ["byte_level", "sentence_piece"])
@pytest.mark.parametrize("text", ["Hello world你好a 👩‍👩‍👧‍👦 \ufffd!", *TEXTS])
def test_pieces_of_a_stream_add_up_to_the_text(request, package, kind, text):
    tokenizer = request.getfixturevalue(kind)
    ids = tokenizer.encode(text)
    stream = tokenizer.stream()
    pieces = [stream.push(token) for token in ids]
    assert "".join(pieces) + stream.flush() == tokenizer.decode(ids)


@pytest.mark.parametrize("text", ["你好", "a👦b", "🇩🇪"])
def test_a_stream_never_gives_out_half_a_character(byte_level, text):
    stream = byte_level.stream()
    pieces = [stream.push(token) for token in byte_level.encode(text)]
    assert [piece for piece in pieces if piece] == list(text)


def test_bytes_that_are_no_character_come_out_in_the_end(byte_level):
    stream = byte_level.stream()
    broken = byte_level.encode("你")[:2]
    assert [stream.push(token) for token in broken] == ["", ""]
    assert set(stream.flush()) == {"\ufffd"}


def test_endless_broken_bytes_are_not_held_for_ever(byte_level):
    stream = byte_level.stream()
    broken = byte_level.encode("你")[:1] * 200
    assert any(stream.push(token) for token in broken)


def test_a_continuation_keeps_the_space_that_a_new_text_drops(sentence_piece):
    hello, world = sentence_piece.encode("Hello world")
    assert sentence_piece.stream().push(world) == "world"
    assert sentence_piece.stream(after=[hello]).push(world) == " world"


def test_special_tokens_in_a_text_are_text_unless_asked_for(byte_level):
    text = "a<|end|>b"
    assert tiny_model.END not in byte_level.encode(text)
    assert byte_level.decode(byte_level.encode(text)) == text
    assert byte_level.encode(text, special=True)[1] == tiny_model.END


def test_a_marked_special_token_stays_text_and_loses_its_mark(byte_level):
    ids = byte_level.encode_marked("<|user|>a<@|end|>b<|end|>", "@")
    assert [i for i in ids if i >= tiny_model.BEGIN] == [258, tiny_model.END]
    assert byte_level.decode(ids) == "a<|end|>b"


def test_the_beginning_is_put_first_once(byte_level):
    begin = tiny_model.BEGIN
    assert byte_level.encode("<|begin|>a", special=True, bos=True).count(begin) == 1
    assert byte_level.encode("a", bos=True)[0] == begin
    assert byte_level.encode("a")[0] != begin


def test_undecodable_arguments_do_not_break_encoding(byte_level):
    assert byte_level.decode(byte_level.encode("a\udc80b")) == "a\ufffdb"


@pytest.mark.parametrize("wrong", [-1, tiny_model.CONFIG.vocabulary, 2**70])
def test_ids_the_model_does_not_have_are_refused(byte_level, wrong):
    with pytest.raises(EdgeError, match=rf"token id {wrong}, expected 0\.\.271"):
        byte_level.decode([5, wrong])


def test_ids_without_a_token_decode_to_nothing(byte_level):
    assert byte_level.decode([270]) == ""


def test_the_python_package_stands_in_where_the_rust_one_is_not(package):
    assert engine() is (PythonEngine if package == "python" else Engine)


def test_a_file_brings_its_tokenizer(package, tmp_path):
    tokenizer = Tokenizer.of(EdgeFile(tiny_model.write(tmp_path / "m.edge")))
    assert (tokenizer.bos, tokenizer.eos, tokenizer.add_bos) == (256, (257,), True)


BROKEN = [
    b"",
    b"{}",
    b"\xff\xfe",
    b"[1]",
    b'{"model": 3}',
    b'{"version": "2.0", "model": {"type": "BPE", "vocab": {}, "merges": []}}',
    b'{"model": {"type": "Neural", "vocab": {}, "merges": []}}',
    b'{"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}}',
    b'{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [["a", "b"]]}}',
    b'{"model": {"type": "BPE", "vocab": {}, "merges": []}, "decoder": {"type": "Mystery"}}',
    b'{"model": {"type": "BPE", "vocab": {"\\ud800": 0}, "merges": []}}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("document", BROKEN, ids=range(len(BROKEN)))
def test_a_broken_tokenizer_is_a_format_error(package, tmp_path, monkeypatch, document):
    file = EdgeFile(tiny_model.write(tmp_path / "m.edge"))
    monkeypatch.setattr(file, "read_bytes", lambda name: document)
    with pytest.raises(FormatError, match=r"m\.edge: tokenizer.json cannot be read: .") as error:
        Tokenizer.of(file)
    assert "\n" not in str(error.value)


def test_end_tokens_beyond_the_vocabulary_are_refused(tmp_path):
    file = EdgeFile(tiny_model.write(tmp_path / "m.edge"))
    file.document["tokenizer"]["eos"] = [272]
    with pytest.raises(FormatError, match="tokenizer id 272"):
        Tokenizer.of(file)


def test_a_model_without_tokenizer_says_so(tmp_path):
    file = EdgeFile(tiny_model.write(tmp_path / "m.edge"))
    file.document["tokenizer"] = None
    with pytest.raises(EdgeError, match="no tokenizer"):
        Tokenizer.of(file)
