"""Opening a model: the flags that say how, and the note that kernels are being compiled."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from edge.runtime.kernels.catalogue import KV_KINDS

from . import limits
from .progress import Progress
from .terminal import is_terminal, note
from .usage import whole

if TYPE_CHECKING:
    from edge.embedder import Embedder
    from edge.graph_session import GraphSession
    from edge.runtime.encoder import Encoder
    from edge.runtime.model import Model
    from edge.session import Session


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="an .edge file")


def add_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-t",
        "--threads",
        type=whole(1),
        metavar="N",
        help="threads; all usable cores, or the big ones, if not given",
    )


def add_kv(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kv", choices=KV_KINDS, help="kind of KV cache; float16 if not given")


def add_context(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c", "--ctx", "--ctx-size", type=whole(1), metavar="N", dest="ctx",
        help="tokens of context; the model's own, at most 4096, if not given",
    )  # fmt: skip


@contextmanager
def open_session(args: argparse.Namespace) -> Iterator[Session]:
    from edge.session import load

    with Compiling() as compiling:
        session = load(
            args.model, threads=args.threads, context=args.ctx, kv=args.kv,
            targets=limits.targets(args), note=note, compiling=compiling,
        )  # fmt: skip
    with session:
        yield session


@contextmanager
def open_embedder(args: argparse.Namespace) -> Iterator[Embedder]:
    from edge.embedder import load

    with Compiling() as compiling:
        embedder = load(
            args.model, threads=args.threads,
            targets=limits.targets(args), note=note, compiling=compiling,
        )  # fmt: skip
    with embedder:
        yield embedder


@contextmanager
def open_model(path: str, threads: int | None = None, **settings: Any) -> Iterator[Model]:
    from edge.session import load_model

    with _on_big_cores(threads) as count:
        with Compiling() as compiling:
            model = load_model(path, threads=count, compiling=compiling, **settings)
        with closing(model):
            yield model


@contextmanager
def open_encoder(path: str, threads: int | None = None, **settings: Any) -> Iterator[Encoder]:
    from edge.embedder import load_encoder

    with _on_big_cores(threads) as count:
        with Compiling() as compiling:
            encoder = load_encoder(path, threads=count, compiling=compiling, **settings)
        with closing(encoder):
            yield encoder


@contextmanager
def open_graph(args: argparse.Namespace) -> Iterator[GraphSession]:
    from edge.graph_session import load

    targets = limits.targets(args)
    with (
        Compiling() as compiling,
        load(
            args.model, threads=args.threads, targets=targets, note=note, compiling=compiling
        ) as session,
    ):
        yield session


@contextmanager
def open_unwatched_graph(path: str, threads: int) -> Iterator[GraphSession]:
    from edge.graph_session import load_unwatched

    with (
        _on_big_cores(threads) as count,
        Compiling() as compiling,
        load_unwatched(path, threads=count, compiling=compiling) as session,
    ):
        yield session


@contextmanager
def _on_big_cores(threads: int | None) -> Iterator[int | None]:
    """This thread and those that it starts, where some cores are little; how many threads to use."""
    from edge.devices.placement import Placement
    from edge.devices.root import Root

    placement = Placement.find(Root(), threads)
    with placement or nullcontext():
        yield threads or (placement.count if placement else None)


class Compiling(Progress):
    """Says at once that kernels are compiled, and that it happens once."""

    def __init__(self) -> None:
        super().__init__("compiling kernels for this machine, once:", patience=0)

    def __call__(self, done: float, total: float) -> None:
        if done == 0 and not is_terminal(self._stream):
            note(f"compiling kernels for this machine, once ({total:.0f})")
        super().__call__(done, total)
