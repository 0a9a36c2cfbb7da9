"""Chat patterns: what is found in templates, what is not, and that both write the same."""

import random
from datetime import datetime
from pathlib import Path

import pytest

from edge.errors import EdgeError
from edge.exporter.chat import NoPattern, derive
from edge.exporter.chat.probes import Reference
from edge.format.chat_pattern import ROLES, ChatPattern, Gap
from edge.format.chat_template import MARK

TEMPLATES = sorted((Path(__file__).parents[1] / "templates").glob("*.jinja"))
TOKENS = "<bos>", "<eos>"
NO_SYSTEM = {"gemma2", "mistral-v0.1"}
CONTENTS = [
    *("hi", "", " ", "\n\nx \n", "a\n\nb", "{{ x }} {% y %} {0}", "<think>\nx\n</think>\n\ny "),
    *("</think>", "x</think>", "[INST] x [/INST]", "<|im_end|>", f"<{MARK}|im_end|>", "<<SYS>>"),
    *("<tool_response>x</tool_response>", "/no_think", "é 中文\u3000", "user", "system\n", "<eos>"),
]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{{ '<|im_start|>assistant\n' }}"
)


@pytest.fixture(scope="module", params=TEMPLATES, ids=lambda path: path.stem)
def template(request):
    """A name, the template, the pattern."""
    source = request.param.read_text(encoding="utf-8")
    return request.param.stem, source, derive(source, *TOKENS)


def alternating(turns: int, system: bool = False) -> list[dict]:
    walk = ["system"] * system + ["user", "assistant"] * turns
    return [{"role": role, "content": f"{role} {i}"} for i, role in enumerate(walk[:-1])]


def test_a_real_template_has_a_pattern_that_takes_turns(template):
    (name, source, pattern), day = template, datetime(2025, 8, 1)
    reference = Reference(source, *TOKENS, day.strftime)
    for turns in range(1, 6):
        expected = reference.render(alternating(turns))
        assert expected is not None
        assert pattern.render(alternating(turns), day.strftime) == expected
        expected = reference.render(alternating(turns, system=True))
        if name in NO_SYSTEM:
            assert expected is None
            with pytest.raises(EdgeError, match="begins with a message of .system.*jinja2"):
                pattern.render(alternating(turns, system=True), day.strftime)
        else:
            assert pattern.render(alternating(turns, system=True), day.strftime) == expected


def test_a_pattern_writes_what_its_template_does_or_refuses(template):
    """Random conversations, most of them odd; a template's refusal is the pattern's too."""
    (_, source, pattern), rng = template, random.Random(template[0])
    reference = Reference(source, *TOKENS, datetime(2025, 8, 1).strftime)
    claimed = 0
    for _ in range(2000):
        messages = [
            {"role": rng.choice(ROLES), "content": rng.choice(CONTENTS)}
            for _ in range(rng.randint(1, 7))
        ]
        try:
            text = pattern.render(messages, datetime(2025, 8, 1).strftime)
        except EdgeError as error:
            assert "pip install jinja2" in str(error)
            continue
        claimed += 1
        assert text == reference.render(messages), messages
    assert claimed > 20


def test_a_pattern_comes_back_from_its_file(template):
    pattern = template[2]
    assert ChatPattern.from_json(pattern.to_json(), "a file") == pattern


def test_a_pattern_reads_like_the_template():
    pattern = derive(CHATML, *TOKENS)
    opening = "<|im_start|>user\n"
    assert pattern.gaps["START user"] == Gap(opening)
    assert pattern.gaps["assistant user"] == Gap(f"<|im_end|>\n{opening}")
    assert pattern.gaps["user END"] == Gap("<|im_end|>\n<|im_start|>assistant\n")
    assert pattern == ChatPattern(pattern.gaps)


def test_a_system_message_may_stand_before_the_last_user():
    source = (Path(__file__).parents[1] / "templates" / "mistral-nemo.jinja").read_text()
    assert derive(source, *TOKENS).system == "last"


def test_the_date_is_written_on_the_day():
    pattern = derive("{{ strftime_now('%d %b %Y') }}\n" + CHATML, *TOKENS)
    assert pattern.date == "%d %b %Y"
    text = pattern.render([{"role": "user", "content": "hi"}], datetime(2026, 3, 1).strftime)
    assert text.startswith("01 Mar 2026\n<|im_start|>user\nhi")


def turned(content: str, before: str = "", after: str = "<|assistant|>") -> str:
    """A template that writes contents in this way."""
    loop = "{% for m in messages %}<|{{ m.role }}|>CONTENT{% endfor %}"
    return before + loop.replace("CONTENT", content) + after


@pytest.mark.parametrize(
    "source, reason",
    [
        (turned("{{ m.content | upper }}"), "changes contents"),
        (turned("{{ m.content }}{{ m.content }}"), "twice"),
        (turned("{{ m.content | replace('\\n', ' ') }}"), "changes"),
        (turned("{{ m.content[:1000] }}"), "changes contents"),
        (turned("{{ loop.index }}{{ m.content }}"), "varies|depends on more"),
        (turned("{{ 'please' if 'please' in m.content }}{{ m.content }}"), "looks for 'please'"),
        (turned("{{ m.content }}", after="{{ messages | length }}"), "varies|depends on more"),
        ("{% for m in messages | reverse %}|{{ m.content }}{% endfor %}", "another order"),
        ("{{ raise_exception('no') }}", "refuses a conversation of user"),
        (turned("{{ m.content }}", "{{ strftime_now('%d') }}{{ strftime_now('%m') }}"), "two ways"),
        (turned("{{ m.content }}", "{{ strftime_now('%Y') | int // 7 }}"), "date"),
        (turned("{{ m.content }}", "{{ 'new' if strftime_now('%Y') > '2030' }}"), "date"),
    ],
)
def test_a_template_that_does_more_has_no_pattern(source, reason):
    with pytest.raises(NoPattern, match=reason):
        derive(source, *TOKENS)


def test_markup_that_a_template_looks_for_is_not_claimed():
    source = turned("{{ m.content.replace('<secret>', '***') if m.role == 'user' else m.content }}")
    pattern = derive(source, *TOKENS)
    assert pattern.excluded == {"user": ("<secret>",)}
    with pytest.raises(EdgeError, match="message of 'user' with '<secret>' in it.*jinja2"):
        pattern.render([{"role": "user", "content": "x<secret>"}])


def test_two_texts_that_mean_something_together_are_not_claimed():
    calls = "m.content.startswith('<call>') and m.content.endswith('</call>')"
    pattern = derive(turned(f"{{{{ 'called' if {calls} }}}}{{{{ m.content }}}}"), *TOKENS)
    with pytest.raises(EdgeError, match="jinja2"):
        pattern.render([{"role": "user", "content": "<call>x</call>"}])
    assert pattern.render([{"role": "user", "content": "x</call>"}])


def test_what_a_thinking_model_thought_is_cut_off():
    content = "{{ m.content.split('</think>')[-1].lstrip('\\n') if '</think>' in m.content "
    pattern = derive(turned(content + "else m.content }}"), *TOKENS)
    assert pattern.cut == dict.fromkeys(ROLES, ("</think>", "\n"))
    text = pattern.render([{"role": "user", "content": "hmm</think>\n\nyes"}])
    assert text == "<|user|>yes<|assistant|>"


def test_empty_messages_are_not_claimed_where_they_matter():
    source = turned("{{ m.content if m.content else '(nothing)' }}")
    pattern = derive(source, *TOKENS)
    assert pattern.filled == ROLES
    with pytest.raises(EdgeError, match="empty message of 'user'.*jinja2"):
        pattern.render([{"role": "user", "content": " "}])
