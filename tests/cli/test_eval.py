"""edge eval over texts of several domains."""

import dataclasses
import hashlib

import numpy as np
import pytest
import tiny_model

from edge.cli import domains
from edge.exporter import export
from edge.format.reader import EdgeFile
from edge.runtime.perplexity import Evaluation
from tests.exporter.memory_source import GOLDEN


@pytest.fixture
def texts(tmp_path):
    random = np.random.default_rng(0)
    paths = {name: tmp_path / f"{name}.txt" for name in ("law", "sea", "code")}
    for name, path in paths.items():
        letters = "abcdefgh" if name == "law" else "stuvwxyz{}"
        path.write_text("".join(random.choice(list(letters), 200)))
    return paths


def arguments(texts):
    return [part for path in texts.values() for part in ("--text", path)]


def test_several_texts_give_a_row_each_and_figures_of_all(cli_json, model, texts, tmp_path):
    other = tiny_model.write(tmp_path / "other.edge", seed=1)
    document = cli_json("eval", model, *arguments(texts), "--ctx", "64", "--against", other)
    rows = document["domains"]
    assert [row["name"] for row in rows] == ["law", "sea", "code"]
    single = cli_json("eval", model, "--text", texts["sea"], "--ctx", "64", "--against", other)
    assert {key: rows[1][key] for key in single} == single
    assert document["tokens"] == sum(row["tokens"] for row in rows)
    assert not any(row["calibration"] for row in rows)
    assert {row["kl_ratio"] for row in rows} == {None}


def test_divergence_is_set_against_that_of_the_calibrations_domain(cli, cli_json, model, texts):
    given = "eval", model, *arguments(texts), "--ctx", "64"
    code, out, _ = cli(*given, "--calibrated-on", "sea")
    assert code == 0 and [line.endswith("calibration") for line in out.splitlines()] == [
        False,
        True,
        False,
    ]
    rows = cli_json(*given, "--against", model, "--calibrated-on", "sea")["domains"]
    assert [row["calibration"] for row in rows] == [False, True, False]


def test_a_file_says_what_it_was_calibrated_on(cli_json, texts, tmp_path):
    ids = np.random.default_rng(0).integers(0, 100, (8, 16))
    np.save(tmp_path / "ids.npy", ids)
    for calib, name in ((tmp_path / "ids.npy", "ids.npy"), (ids, "token ids")):
        output = export(
            GOLDEN / "smollm2", tmp_path / "m.edge", quant="int4:gptq", calib=calib
        ).output
        assert EdgeFile(output).document["calibration"]["name"] == name
    plain = export(GOLDEN / "smollm2", tmp_path / "plain.edge", quant="int4").output
    assert EdgeFile(plain).document.get("calibration") is None


def test_the_domain_is_known_by_its_name_or_by_the_texts_hash(texts):
    given = [f"waves={texts['sea']}", str(texts["law"])]
    digest = hashlib.sha256(texts["sea"].read_bytes()).hexdigest()
    for recorded, expected in [
        ({"name": "other.txt", "sha256": digest}, [True, False]),
        ({"name": "law.md", "sha256": "0" * 64}, [False, True]),
        ({"name": "other.txt", "sha256": "0" * 64}, [False, False]),
        (None, [False, False]),
    ]:
        found = domains.read(given, None, recorded)
        assert [domain.name for domain in found] == ["waves", "law"]
        assert [domain.calibration for domain in found] == expected


def test_a_domain_that_calibration_does_not_reach_is_warned_of_in_words():
    base = Evaluation(10.0, 100, 64, 0.1, 0.9, 0.01, 0.01)
    names = [domains.Domain("law", "", True), domains.Domain("sea", ""), domains.Domain("code", "")]
    divergences = [0.1, 0.12, 0.15]
    rows = domains.rows(names, [dataclasses.replace(base, kl_mean=k) for k in divergences])
    assert [row.kl_ratio for row in rows] == pytest.approx([1, 1.2, 1.5])
    (warning,) = domains.warnings(rows)
    assert "'code': the divergence is 1.50 times that of the calibration's domain" in warning


@pytest.mark.parametrize(
    "more, message",
    [
        (["--calibrated-on", "air"], "--calibrated-on 'air', expected law, sea, code"),
        (["--text", "sea=other.txt"], "two texts are called 'sea'"),
    ],
)
def test_names_that_do_not_fit_are_wrong_usage(fails, model, texts, tmp_path, more, message):
    (tmp_path / "other.txt").write_text("x" * 100)
    more = [part.replace("other.txt", str(tmp_path / "other.txt")) for part in more]
    assert message in fails("eval", model, *arguments(texts), *more, code=2)
