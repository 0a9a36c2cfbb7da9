"""Template -> pattern: steps, contents, dates; all of them by what the template writes."""

from datetime import datetime

from edge.format.chat_pattern import MAX_PATTERN, ChatPattern

from .contents import claimed_contents, filled_contents, mixed
from .probes import NoPattern, Reference, more_steps, steps, walks

DAYS = datetime(2024, 2, 29, 23, 59), datetime(2031, 11, 7)


def derive(template: str, bos: str, eos: str) -> ChatPattern:
    """A pattern that writes what the template does.

    Raises NoPattern if there is none, FormatError for no template, ImportError without jinja2.
    """
    reference = Reference(template, bos, eos)
    pattern = claimed_contents(steps(reference), reference)
    pattern = filled_contents(more_steps(pattern, reference), reference)
    if not all(reference.agrees(pattern, m) for m in mixed(reference.operands)):
        raise NoPattern("what it writes depends on several messages at once")
    if len(reference.formats) > 1:
        raise NoPattern("it writes dates in two ways")
    pattern = pattern.dated(*reference.formats)
    for day in DAYS:
        then = Reference(template, bos, eos, day.strftime)
        if not all(then.agrees(pattern, messages) for messages in walks()):
            raise NoPattern("it depends on the date")
    text = pattern.to_json()
    if len(text) > MAX_PATTERN or ChatPattern.from_json(text, "pattern") != pattern:
        raise NoPattern("its texts are long")
    return pattern
