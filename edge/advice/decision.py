"""The decision tree: from size, device, memory and data at hand to one recipe, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edge.format.spec import weight_format

from . import candidate
from .candidate import Candidate
from .machine import Machine
from .quality import SMALL
from .subject import FLOATS, Subject

COMFORT = 5.0  # tokens a second: about as fast as people read
NEARLY = 0.9  # of the fastest: as good
BITS = {"int4": 4.6, "int8": 8.6}  # a weight, of a whole model
EXACT = ("float32", "float16")


@dataclass(frozen=True)
class Advice:
    """recommended  None if nothing fits; `because` in sentences"""

    subject: Subject
    machine: Machine
    recommended: Candidate | None
    alternatives: tuple[Candidate, ...]
    because: tuple[str, ...]


def advise(
    subject: Subject,
    machine: Machine,
    *,
    data: bool | None = None,
    min_tok_s: float | None = None,
    context: int = 4096,
) -> Advice:
    """`data`: whether there is a text to calibrate on; None if that was not said."""
    context = min(context, subject.config.context)
    choices = tuple(_choices(subject, machine, data, context))
    fitting = [c for c in choices if c.fits]
    if not fitting:
        return Advice(subject, machine, None, choices, (_too_large(subject, machine, choices),))
    wanted = min_tok_s if min_tok_s is not None else 0.0 if _is_small(subject) else COMFORT
    best = _best(fitting, wanted)
    reasons = []
    if min_tok_s is not None and _speed(best) < min_tok_s:
        reasons.append(_too_slow(min_tok_s, best, machine))
    reasons += _reasons(subject, machine, best, choices)
    others = tuple(c for c in choices if c is not best)
    return Advice(subject, machine, best, others, tuple(reasons))


def _choices(
    subject: Subject, machine: Machine, data: bool | None, context: int
) -> Iterator[Candidate]:
    if subject.file is not None:
        yield candidate.of_file(subject, machine, context)
        return
    for recipe in _recipes(subject, data):
        yield candidate.of_recipe(subject, recipe, machine, context)


def _recipes(subject: Subject, data: bool | None) -> Iterator[str]:
    """The better ones first."""
    if subject.is_ternary:
        yield "ternary" if subject.stored in FLOATS else "keep"
        return
    if not subject.is_exact:
        yield "keep"
        return
    yield "int8" if subject.stored in FLOATS else "keep"
    if data is not False:
        yield "int4-calibrated"
    yield "int4-search"


def _best(fitting: list[Candidate], wanted: float) -> Candidate:
    """The least loss among those that are fast enough, or among the fastest."""
    fast = [c for c in fitting if _speed(c) >= wanted]
    if not fast:
        most = max(map(_speed, fitting))
        fast = [c for c in fitting if _speed(c) >= NEARLY * most]
    return min(fast, key=lambda c: c.quality.rank)


def _speed(c: Candidate) -> float:
    return float("inf") if c.tok_s is None else c.tok_s


def _is_small(subject: Subject) -> bool:
    return subject.parameters < SMALL


# --- why ------------------------------------------------------------------------------------------


def _reasons(
    subject: Subject,
    machine: Machine,
    best: Candidate,
    choices: tuple[Candidate, ...],
) -> list[str]:
    if subject.file is not None:
        return [_as_it_is(subject)]
    if best.recipe in ("keep", "ternary") and not _is_eight_bit(best, subject):
        return [_kept(subject)]
    if best is choices[0]:
        return [_no_fewer(subject, choices)]
    reasons = [_why_not(choices[0], best, machine)]
    if _is_small(subject):
        reasons.append(
            f"at {_millions(subject.parameters)} weights 4 bits cost much ({best.quality.evidence})"
        )
    if best.needs_data:
        reasons.append(
            "it needs some pages of text of the kind the model will meet (--calib); without any, "
            "int4-search is the best"
        )
    return reasons


def _is_eight_bit(best: Candidate, subject: Subject) -> bool:
    return best.recipe == "keep" and subject.is_exact


def _as_it_is(subject: Subject) -> str:
    if subject.stored in EXACT:
        return "this file holds floats: an export with int8 is half of it or less, nearly lossless"
    kind = weight_format(subject.stored).kind
    return f"this file is {kind} already; another recipe is made from the source model, not from it"


def _kept(subject: Subject) -> str:
    if subject.is_ternary:
        return (
            "it was trained with ternary weights, which are stored exactly; any other grid would "
            "take more bytes and be no better"
        )
    return (
        f"its weights are {subject.stored} already: rounding them again would lose twice; for "
        "another recipe take the original model"
    )


def _no_fewer(subject: Subject, choices: tuple[Candidate, ...]) -> str:
    four = choices[1]
    if _is_small(subject):
        return (
            f"do not quantize this below int8, because it has {_millions(subject.parameters)} "
            f"weights: {four.recipe} would be a {four.quality.word} ({four.quality.evidence})"
        )
    return (
        f"8 bits fit and are fast enough; {four.recipe} would be a {four.quality.word} "
        f"({four.quality.evidence})"
    )


def _why_not(better: Candidate, best: Candidate, machine: Machine) -> str:
    if not better.fits:
        return (
            f"{better.recipe} does not fit: it takes {_size(better.memory)} with "
            f"{better.context} tokens, {machine.name} leaves {_size(machine.memory)}"
        )
    return (
        f"{better.recipe} would answer with about {_speed(better):.1f} tok/s, "
        f"{best.recipe} with {_speed(best):.1f}"
    )


def _too_slow(wanted: float, best: Candidate, machine: Machine) -> str:
    most = int((machine.read_gb_s or 0.0) * 1e9 / wanted * 8 / BITS["int4"])
    return (
        f"no recipe reaches {wanted:g} tok/s here: {best.recipe} has about {_speed(best):.1f}; "
        f"a model of up to {_millions(most)} weights in int4 can"
    )


def _too_large(subject: Subject, machine: Machine, choices: tuple[Candidate, ...]) -> str:
    least = min(choices, key=lambda c: c.memory)
    beside = candidate.PROCESS + candidate.TOKENIZER_ENTRY * subject.config.vocabulary
    room = max(0, machine.memory - 2 * beside)  # once more for a cache and buffers
    sizes = " or ".join(
        f"{_millions(int(8 * room / bits))} in {name}" for name, bits in BITS.items()
    )
    return (
        f"it does not fit: the smallest, {least.recipe}, takes {_size(least.memory)} with "
        f"{least.context} tokens, {machine.name} leaves {_size(machine.memory)}; a model of up to "
        f"{sizes} can"
    )


def _millions(weights: int) -> str:
    return (
        f"{weights / 1e9:.1f} billion" if weights >= 999_500_000 else f"{weights / 1e6:.0f} million"
    )


def _size(nbytes: int) -> str:
    return f"{nbytes / 1e9:.1f} GB" if nbytes >= 999_500_000 else f"{nbytes / 1e6:.0f} MB"
