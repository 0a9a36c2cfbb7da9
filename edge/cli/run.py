"""edge run: one answer, streamed; or a graph, once."""

import argparse
import json
import sys

from edge.errors import EdgeError

from . import answering, arrays, chat, limits, opening, run_graph
from .terminal import is_terminal, piped
from .usage import UsageError

INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    opening.add_model(parser)
    parser.add_argument(
        "prompt", metavar="PROMPT", nargs="?",
        help="if not given: what is piped in, or a chat on a terminal",
    )  # fmt: skip
    opening.add_threads(parser)
    opening.add_context(parser)
    opening.add_kv(parser)
    answering.add_sampling(parser)
    limits.add_limits(parser)
    parser.add_argument(
        "--raw", action="store_true", help="continue the prompt, without the chat template"
    )
    arrays.add_inputs(parser)
    parser.add_argument(
        "--output", metavar="DIR", help="a folder that gets NAME.npy for each output of a graph"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document, not streamed")


def command(args: argparse.Namespace) -> int:
    if args.inputs or args.output is not None:
        return run_graph.command(args)
    if args.prompt is None and is_terminal(sys.stdin):
        if args.json or args.raw:
            raise UsageError("--json and --raw want a PROMPT; see edge run --help")
        return chat.command(args)
    prompt = piped().removesuffix("\n") if args.prompt is None else args.prompt
    if not prompt.strip():
        from edge.opening import open_as

        open_as(args.model, "decoder")  # who has a graph is told what it wants
        raise EdgeError("the prompt is empty (edge run); give a PROMPT or pipe a text in")
    return _answer(args, prompt)


def _answer(args: argparse.Namespace, prompt: str) -> int:
    from edge.session import finished

    with opening.open_session(args) as session, answering.reading() as progress:
        options = answering.options(args, progress)
        if args.raw or not session.chat_format.has_template:
            answer = session.stream(prompt, **options)
        else:
            answer = session.reply([{"role": "user", "content": prompt}], **options)
        if args.json:
            print(json.dumps(finished(answer).to_json(), ensure_ascii=False))
            return 0
        return 0 if answering.show(answer) else INTERRUPTED
