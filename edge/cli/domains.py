"""Texts of several domains: a row each, and what calibration on one of them did to the others."""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import EdgeError

from .usage import UsageError

if TYPE_CHECKING:
    from edge.runtime.perplexity import Evaluation

FAR = 1.3  # of a domain's divergence to that of the calibration's domain: choices fit that too well


@dataclass(frozen=True)
class Domain:
    """One text; `calibration`: the model's grids were chosen by it, or by its kind."""

    name: str
    text: str
    calibration: bool = False


@dataclass(frozen=True)
class Row:
    """A domain's figures; `kl_ratio`: its divergence over that of the calibration's domain."""

    domain: Domain
    evaluation: Evaluation
    kl_ratio: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As the document for one text has it, with a name."""
        found = {"name": self.domain.name, "calibration": self.domain.calibration}
        return found | asdict(self.evaluation) | {"kl_ratio": self.kl_ratio}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--text", metavar="[NAME=]FILE", action="append", required=True,
        help="the text to predict, UTF-8; several give a row each",
    )  # fmt: skip
    parser.add_argument(
        "--calibrated-on", metavar="NAME",
        help="the text whose kind MODEL was calibrated on; as the file says if not given",
    )  # fmt: skip


def read(texts: list[str], calibrated_on: str | None, recorded: Any) -> list[Domain]:
    """`recorded` as a file has it: {"name", "sha256"} or None."""
    found = [_read(text) for text in texts]
    names = [domain.name for domain in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two texts are called {twice!r:.40}; name them: --text NAME=FILE")
    if calibrated_on is not None and calibrated_on not in names:
        raise UsageError(f"--calibrated-on {calibrated_on!r:.40}, expected {', '.join(names)}")
    return [
        Domain(d.name, d.text, _is_calibration(d, calibrated_on, recorded or {})) for d in found
    ]


def _read(given: str) -> Domain:
    name, equals, path = given.partition("=")
    if not equals or Path(given).exists():
        name, path = Path(given).stem, given
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    if not text:
        raise EdgeError(f"the text is empty ({path}); give a file with a few thousand words")
    return Domain(name, text)


def _is_calibration(domain: Domain, named: str | None, recorded: dict[str, Any]) -> bool:
    if named is not None:
        return domain.name == named
    digest = hashlib.sha256(domain.text.encode("utf-8", "replace")).hexdigest()
    same_name = Path(str(recorded.get("name", ""))).stem == domain.name
    return digest == recorded.get("sha256") or same_name


def rows(domains: list[Domain], evaluations: list[Evaluation]) -> list[Row]:
    pairs = list(zip(domains, evaluations, strict=True))
    base = next((e.kl_mean for d, e in pairs if d.calibration), None)
    return [Row(d, e, e.kl_mean / base if base and e.kl_mean else None) for d, e in pairs]


def table(found: list[Row]) -> list[str]:
    width = max(len(row.domain.name) for row in found)
    return [_line(row, width) for row in found]


def _line(row: Row, width: int) -> str:
    e = row.evaluation
    line = f"{row.domain.name:{width}}  perplexity {e.perplexity:9.4f}"
    if e.kl_mean is not None:
        line += f"  KL {e.kl_mean:.5f} ± {e.kl_standard_error:.5f}"
        line += f"  same token {e.top1_agreement:.2%} ± {e.top1_standard_error:.2%}"
    if row.domain.calibration:
        return line + "  calibration"
    return line + (f"  x {row.kl_ratio:.2f}" if row.kl_ratio is not None else "")


def warnings(found: list[Row]) -> list[str]:
    """In words, where calibration fits its own text and not the others."""
    return [
        f"{row.domain.name!r:.40}: the divergence is {row.kl_ratio:.2f} times that of the "
        f"calibration's domain (above {FAR}): the recipe fits its calibration text better than "
        "this one; calibrate on a mixture of texts (--calib self+TEXT adds what the model writes)"
        for row in found
        if row.kl_ratio is not None and row.kl_ratio > FAR
    ]
