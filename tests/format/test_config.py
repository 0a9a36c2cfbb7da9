"""The configuration of a decoder: types, ranges, and the relations that kernels rely on."""

import json
from dataclasses import asdict, fields, replace

import pytest

from edge.errors import FormatError
from edge.format.config import MAX_VOCABULARY, MAX_WIDTH, DecoderConfig, Rope, from_json
from tests.format.small_file import CONFIG

HALF = 8
WIDTHS = "hidden, feed_forward, heads * head_dim at most 65536"
GOOD_ROPES = [
    Rope(10000.0, 16),
    Rope(10000.0, 2, "linear", factor=4.0),
    Rope(10000.0, 16, "dynamic", factor=2.0, original_context=64),
    Rope(5e5, 16, "llama3", factor=8.0, original_context=8192),
    Rope(1e6, 16, "yarn", factor=4.0, original_context=32768, truncate=False),
    Rope(1e4, 16, "longrope", 1.0, 4096, short_factors=(1.0,) * HALF, long_factors=(2.5,) * HALF),
]


def read(document):
    return from_json(json.loads(json.dumps(document)), "model.edge")


def refusal(document) -> str:
    with pytest.raises(FormatError) as caught:
        read(document)
    message = str(caught.value)
    assert message.startswith("model.edge: ") and len(message) < 400 and "\n" not in message
    return message.removeprefix("model.edge: ")


def document(**changes):
    return asdict(CONFIG) | changes


def with_rope(rope: Rope, **changes):
    """A model of two ropes, the second of them good: each must be checked."""
    return document(ropes=[asdict(rope) | changes, asdict(GOOD_ROPES[0])])


@pytest.mark.parametrize("rope", GOOD_ROPES, ids=lambda rope: rope.kind)
def test_a_configuration_comes_back(rope):
    config = replace(CONFIG, ropes=(rope,), qk_norm=True, activation="relu2", layer_window=(4096,))
    assert read(asdict(config)) == config


def test_what_has_a_default_may_be_left_out():
    required = {f.name for f in fields(DecoderConfig) if f.default is f.default_factory}
    short = {key: value for key, value in document().items() if key in required}
    short["ropes"] = [{"base": 10000, "dims": 16}]
    assert read(short) == replace(CONFIG, tied_embedding=False)
    for key in required:
        assert refusal({k: v for k, v in short.items() if k != key}) == (
            f"DecoderConfig lacks {key!r}"
        )


@pytest.mark.parametrize("missing", ["base", "dims"])
def test_a_rope_without_a_base_or_dims_is_refused(missing):
    rope = {"base": 10000.0, "dims": 16}
    del rope[missing]
    assert refusal(document(ropes=[rope])) == f"Rope lacks {missing!r}"


def test_unknown_fields_are_refused():
    assert refusal(document(hidden_size=32)) == "unknown field 'hidden_size' in DecoderConfig"
    assert "unknown field" in refusal(document(**{"x" * 10_000: 1}))
    assert "unknown field 'theta' in Rope" in refusal(with_rope(GOOD_ROPES[0], theta=1.0))


@pytest.mark.parametrize("value", [None, [], "config", 3, True])
def test_something_else_than_an_object_is_refused(value):
    assert refusal(value) == "DecoderConfig is not a JSON object"
    assert refusal(document(ropes=[value])) == "Rope is not a JSON object"


@pytest.mark.parametrize("field", fields(DecoderConfig), ids=lambda field: field.name)
def test_a_value_of_the_wrong_type_is_refused_for_every_field(field):
    wrong = [None, {"a": 1}, "7", 1.5, True, [True], ["7"], [None], 10**400]
    right = {bool: (True,), int: (), float: (1.5,), str: ("7",)}.get(field.type, ())
    for value in wrong:
        if not any(type(value) is type(r) for r in right):
            message = refusal(document(**{field.name: value}))
            assert f"DecoderConfig.{field.name}: expected" in message or "Rope is not" in message


@pytest.mark.parametrize("field", fields(Rope), ids=lambda field: field.name)
def test_a_value_of_the_wrong_type_is_refused_for_every_field_of_a_rope(field):
    for value in (None, {"a": 1}, [None], 10**400):
        message = refusal(with_rope(GOOD_ROPES[0], **{field.name: value}))
        assert f"Rope.{field.name}: expected" in message


def test_integers_may_stand_for_floats_and_not_the_reverse():
    assert read(document(norm_epsilon=0, attention_scale=1)).attention_scale == 1.0
    assert refusal(document(layers=1.0)) == "DecoderConfig.layers: expected int, found 1.0"


@pytest.mark.parametrize("value", [-1, 2**31, 2**63, 10**17])
def test_integers_have_a_range(value):
    assert f"expected 0..2**31-1, found {value}" in refusal(document(layers=value))
    assert f"expected 0..2**31-1, found {value}" in refusal(document(layer_window=[value]))


@pytest.mark.parametrize("value", [1e30, -1e30, 1e300, float("inf"), float("nan"), 10**31])
def test_floats_have_a_range(value):
    with pytest.raises(FormatError, match=r"DecoderConfig\.attention_scale: expected"):
        from_json(document(attention_scale=value), "model.edge")


def test_lists_have_a_length():
    assert "expected a list of at most 4096" in refusal(document(layer_rope=[0] * 4097))


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"architecture": "\x1b[31m"}, "architecture: a short line, found '\\x1b[31m'"),
        ({"architecture": "x" * 101}, "architecture: a short line"),
        ({"layers": 0}, "1..1024 layers, found 0"),
        ({"layers": 1025}, "1..1024 layers, found 1025"),
        ({"hidden": 0}, "hidden, feed_forward, vocabulary, context from 1, found (0, 48, 40, 64)"),
        ({"feed_forward": 0}, "hidden, feed_forward, vocabulary, context from 1"),
        ({"vocabulary": 0}, "hidden, feed_forward, vocabulary, context from 1"),
        ({"context": 0}, "hidden, feed_forward, vocabulary, context from 1"),
        ({"heads": 0}, "heads and kv_heads from 1, found (0, 1)"),
        ({"kv_heads": 0}, "heads and kv_heads from 1, found (2, 0)"),
        ({"kv_heads": 3}, "heads a multiple of kv_heads, found (2, 3)"),
        ({"heads": 3, "kv_heads": 2}, "heads a multiple of kv_heads, found (3, 2)"),
        ({"head_dim": 0}, "head_dim of 16, 32 .. 1024, found 0"),
        ({"head_dim": 24}, "head_dim of 16, 32 .. 1024, found 24"),
        ({"head_dim": 1040}, "head_dim of 16, 32 .. 1024, found 1040"),
        ({"hidden": MAX_WIDTH + 1}, f"{WIDTHS}, found ({MAX_WIDTH + 1}, 48, 32)"),
        ({"feed_forward": 2**31 - 1}, WIDTHS),
        ({"heads": 2**31 - 1}, WIDTHS),
        ({"vocabulary": MAX_VOCABULARY + 1}, "vocabulary at most 16777216, found 16777217"),
        ({"layer_rope": []}, "layer_rope and layer_window with an entry a layer, found (0, 1)"),
        ({"layer_window": [0, 0]}, "layer_rope and layer_window with an entry a layer"),
        ({"layers": 2}, "layer_rope and layer_window with an entry a layer, found (1, 1)"),
        ({"layer_rope": [1]}, "layer_rope within the 1 ropes, found 1"),
        ({"ropes": []}, "1..16 ropes, found 0"),
        ({"ropes": [{"base": 1e4, "dims": 16}] * 17}, "1..16 ropes, found 17"),
        ({"activation": "relu"}, "activation of silu, gelu, relu2, found 'relu'"),
        ({"norm_epsilon": -1e-5}, "norm_epsilon not negative, found -1e-05"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_configuration_that_breaks_a_rule_is_refused(changes, expected):
    assert refusal(document(**changes)).startswith(f"DecoderConfig: expected {expected}")


DEFAULT, LINEAR, DYNAMIC, LLAMA3, YARN, LONG = GOOD_ROPES


@pytest.mark.parametrize(
    "rope, changes, expected",
    [
        (DEFAULT, {"kind": "xpos"}, "kind of default, linear, dynamic"),
        (DEFAULT, {"dims": 0}, "dims even, from 2 to 16, found 0"),
        (LONG, {"dims": 0}, "dims even, from 2 to 16, found 0"),
        (DEFAULT, {"dims": 15}, "dims even, from 2 to 16, found 15"),
        (DEFAULT, {"dims": 18}, "dims even, from 2 to 16, found 18"),
        (DEFAULT, {"dims": 2**31 - 2}, "dims even, from 2 to 16"),
        (DEFAULT, {"base": 0.0}, "base more than 1, found 0.0"),
        (YARN, {"base": 1}, "base more than 1, found 1.0"),
        (DEFAULT, {"base": -10000.0}, "base more than 1"),
        (LINEAR, {"factor": 0}, "factor more than 0, found 0.0"),
        (DYNAMIC, {"factor": -2.0}, "factor more than 0"),
        (DYNAMIC, {"original_context": 0}, "original_context from 1, found 0"),
        (LLAMA3, {"original_context": 0}, "original_context from 1"),
        (YARN, {"original_context": 0}, "original_context from 1"),
        (LONG, {"original_context": 0}, "original_context from 1"),
        (DYNAMIC, {"dims": 2}, "dims more than 2, found 2"),
        (LLAMA3, {"low_freq": 4.0}, "low_freq below high_freq, found (4.0, 4.0)"),
        (YARN, {"beta_fast": 0}, "beta_fast and beta_slow from 1e-6, found (0.0, 1.0)"),
        (YARN, {"beta_slow": -1.0}, "beta_fast and beta_slow from 1e-6"),
        (YARN, {"beta_slow": 1e-320}, "beta_fast and beta_slow from 1e-6"),
        (LONG, {"short_factors": []}, "8 short and long factors, found (0, 8)"),
        (LONG, {"long_factors": [1.0] * 9}, "8 short and long factors, found (8, 9)"),
        (LONG, {"long_factors": [0.0] * 8}, "short and long factors more than 0, found 0.0"),
    ],
    ids=lambda value: value.kind if isinstance(value, Rope) else str(value)[:40],
)
def test_every_rope_of_a_model_is_checked(rope, changes, expected):
    message = refusal(with_rope(rope, **changes))
    assert message.startswith(f"DecoderConfig.ropes[0]: expected {expected}")


@pytest.mark.parametrize("rope", GOOD_ROPES, ids=lambda rope: rope.kind)
def test_good_ropes_have_frequencies_at_every_length(rope):
    from edge.runtime.rope import frequencies

    read(with_rope(rope))
    for length in (0, 1, 64, 10**6):
        assert frequencies(rope, length).shape == (rope.dims // 2,)
