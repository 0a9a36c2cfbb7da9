"""A benchmark beside an earlier one: same machine, same tests, what changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge.errors import EdgeError


def read(path: str) -> dict[str, Any]:
    """A document of `edge bench --json`.  Raises EdgeError for anything else."""
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        _by_test(document)
        document["machine"]["cpu"], document["model"]["path"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise EdgeError(f"{path}: not a document of edge bench --json; write one with it") from None
    assert isinstance(document, dict)
    return document


def comparison(earlier: dict[str, Any], now: dict[str, Any]) -> list[dict[str, Any]]:
    """Ratios of now to earlier of the tests that both have.

    `within_noise`: the repetitions of the two overlap.  Joules are compared only if they are of the
    same source and scope.
    """
    before = _by_test(earlier)
    same_machine = earlier["machine"]["cpu"] == now["machine"]["cpu"]
    same_power = earlier["machine"].get("power") == now["machine"]["power"]
    compared = []
    for test, result in _by_test(now).items():
        if test not in before:
            continue
        old, joules = before[test], result["joules_per_token"]
        comparable = same_power and joules and old.get("joules_per_token")
        compared.append(
            {
                "test": result["test"],
                "threads": result["threads"],
                "speed": result["median_tok_s"] / old["median_tok_s"],
                "within_noise": _overlap(result["tok_s"], old["tok_s"]),
                "joules_per_token": joules / old["joules_per_token"] if comparable else None,
                "same_machine": same_machine,
            }
        )
    return compared


def lines(compared: list[dict[str, Any]]) -> list[str]:
    """For people."""
    if not compared:
        return []
    told = ["compared:"] if compared[0]["same_machine"] else ["compared with ANOTHER machine:"]
    for row in compared:
        joules = row["joules_per_token"]
        told.append(
            f"{row['test']:8}{row['threads']:9}{row['speed']:10.2f}x"
            f"{' (within noise)' if row['within_noise'] else ''}"
            f"{'' if joules is None else f', {joules:.2f}x the energy'}"
        )
    return told


def _by_test(document: dict[str, Any]) -> dict[tuple[str, int], dict[str, Any]]:
    results = document["results"]
    for result in results:
        if not (result["median_tok_s"] > 0 and result["tok_s"]):
            raise ValueError("no speed")
    return {(result["test"], result["threads"]): result for result in results}


def _overlap(a: list[float], b: list[float]) -> bool:
    return min(a) <= max(b) and min(b) <= max(a)
