"""A model's own chat template: a Jinja program that turns messages into text.

Templates come with models, so they run in Jinja's sandbox, as in transformers: no files, no
imports, no attributes that begin with an underscore, bounded source and output.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from edge.errors import EdgeError, FormatError

if TYPE_CHECKING:
    import jinja2

TEMPLATE = "chat_template.jinja"  # the tensor that holds it
MARK = "\U000f0edc"  # a private use character: no text means anything by it
MAX_SOURCE, MAX_OUTPUT = 2**18, 2**24  # characters

Message = Mapping[str, Any]  # {"role": ..., "content": ...}


def now(format: str) -> str:
    """This moment; what templates know as strftime_now."""
    return datetime.now().strftime(format)


class ChatTemplate:
    """A compiled template.  Raises FormatError if it is none, ImportError without jinja2."""

    def __init__(self, source: str, strftime_now: Callable[[str], str] = now):
        if len(source) > MAX_SOURCE:
            raise FormatError(
                f"template of {len(source)} characters, expected at most {MAX_SOURCE}"
            )
        self._environment = _environment()
        self._environment.globals["strftime_now"] = strftime_now
        self._source = source
        self._program = _compile(self._environment, source)

    def render(self, messages: Sequence[Message], bos: str, eos: str) -> str:
        """The text up to where the answer begins.  Raises EdgeError if it refuses the messages."""
        pieces = self._program.generate(
            messages=messages,
            add_generation_prompt=True,
            bos_token=bos,
            eos_token=eos,
            tools=None,
            documents=None,
        )
        return "".join(_guarded(pieces))

    def literals(self) -> set[str]:
        """Texts that the program holds."""
        from jinja2 import nodes

        tree = self._environment.parse(self._source)
        return _texts(tree) | {node.data for node in tree.find_all(nodes.TemplateData)}

    def operands(self) -> set[str]:
        """Those of them that it compares with, calls something with, or gives a name."""
        from jinja2 import nodes

        tree = self._environment.parse(self._source)
        users = list(tree.find_all((nodes.Compare, nodes.Call, nodes.Filter)))
        named = [n.node for n in tree.find_all(nodes.Assign) if isinstance(n.node, nodes.Const)]
        return {text for node in [*users, *named] for text in _texts(node)}


def _texts(node: jinja2.nodes.Node) -> set[str]:
    from jinja2 import nodes

    consts = [node] if isinstance(node, nodes.Const) else node.find_all(nodes.Const)
    return {const.value for const in consts if isinstance(const.value, str)}


def _environment() -> jinja2.Environment:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Environment(ImmutableSandboxedEnvironment):
        """Multiplication is looked at first: it can make gigabytes of one character."""

        intercepted_binops = frozenset(["*", "**"])

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            sizes = [len(x) if isinstance(x, str | list | tuple) else abs(x) for x in (left, right)]
            if operator == "**" or sizes[0] * sizes[1] > MAX_OUTPUT:
                raise EdgeError(f"the chat template computes something huge ({operator})")
            return super().call_binop(context, operator, left, right)

    environment = Environment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    return environment


def _compile(environment: jinja2.Environment, source: str) -> jinja2.Template:
    from jinja2 import TemplateError

    try:
        return environment.from_string(source)
    except (TemplateError, RecursionError, ValueError, ArithmeticError, MemoryError) as error:
        raise FormatError(f"not a valid Jinja template: {error}") from None


def _guarded(pieces: Iterator[str]) -> Iterator[str]:
    """Pieces of a rendering, up to MAX_OUTPUT; what goes wrong inside becomes an EdgeError."""
    from jinja2 import TemplateError

    size = 0
    try:
        for piece in pieces:
            size += len(piece)
            if size > MAX_OUTPUT:
                raise EdgeError(f"the chat template writes more than {MAX_OUTPUT} characters")
            yield piece
    except (*_TEMPLATE_ERRORS, TemplateError) as error:
        message = str(error) or type(error).__name__
        raise EdgeError(f"the model's chat template refuses the messages: {message}") from None


_TEMPLATE_ERRORS = (  # any of Python's operators can fail in a template
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


def _to_json(value: Any, **options: Any) -> str:
    """Without jinja2's own escaping of HTML, as in transformers."""
    return json.dumps(value, **({"ensure_ascii": False} | options))


def _refuse(message: str) -> None:
    from jinja2 import TemplateError

    raise TemplateError(message)
