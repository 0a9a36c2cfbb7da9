"""A graph for its user, with the calls of an ONNX Runtime session."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from edge.devices.placement import Placement
from edge.devices.policy import Targets
from edge.devices.root import Root
from edge.errors import EdgeError
from edge.format.graph import Dimension, Value
from edge.graph_inputs import checked
from edge.opening import open_as
from edge.runtime.graph_model import GraphModel
from edge.runtime.libraries.choice import library
from edge.watch import Note, Watch

if TYPE_CHECKING:
    from typing_extensions import Self

Progress = Callable[[int, int], None]  # kernels compiled, of how many
_TYPES = {"float32": "float", "float64": "double"}  # ONNX Runtime's names, where they differ


@dataclass(frozen=True)
class Argument:
    """An input or output: its name, its type as ONNX Runtime spells it ("tensor(float)"), and its
    shape: numbers, names of sizes that inputs share, None where any will do.
    """

    name: str
    type: str
    shape: list[Dimension] | None


@dataclass(frozen=True)
class ModelMeta:
    """What the model's author wrote down."""

    graph_name: str
    custom_metadata_map: dict[str, str]


@dataclass(frozen=True)
class SessionOptions:
    intra_op_num_threads: int


def load(
    path: str | Path,
    *,
    threads: int | None = None,
    targets: Targets | None = None,
    note: Note = lambda text: None,
    compiling: Progress | None = None,
    **others: Any,
) -> GraphSession:
    """Open a graph; settings as in `edge.load`.

    Raises FormatError, UnsupportedModel, DoesNotFit, DeviceError, OSError; EdgeError for a setting
    of another kind of model.
    """
    given = [name for name, value in others.items() if value is not None]
    if given:
        raise EdgeError(f"{path}: a graph has no setting {given[0]!r}; leave it away")
    placement, limits = Placement.find(Root(), threads), targets or Targets()
    count = placement.count if placement else None
    with placement or nullcontext():
        session = load_unwatched(path, threads=threads or count, compiling=compiling)
    if placement is not None or limits != Targets():
        session.watch = Watch(session.model, limits, note, placement=placement)
    return session


def load_unwatched(
    path: str | Path, *, threads: int | None = None, compiling: Progress | None = None
) -> GraphSession:
    """Without a governor: whoever measures wants it so."""
    file, kernels = open_as(path, "graph"), library()
    model = GraphModel(file, threads=threads, kernels=kernels)
    return GraphSession(model, lambda: kernels.telling(compiling))


class GraphSession:
    """A graph ready to run; close it, or use it in a `with`.

        with edge.load("mobilenet.edge") as session:
            scores, = session.run(None, {"input": x})

    Not for two threads at once.
    """

    def __init__(
        self,
        model: GraphModel,
        telling: Callable[[], AbstractContextManager[None]] = nullcontext,
    ):
        """`telling` is a context for what compiles kernels: the first run with inputs of a shape."""
        self.model, self._telling = model, telling
        self.watch: Watch | None = None  # where there are limits, or cores of two kinds

    def get_inputs(self) -> list[Argument]:
        return [_argument(value) for value in self.model.graph.inputs]

    def get_outputs(self) -> list[Argument]:
        return [_argument(value) for value in self.model.graph.outputs]

    def get_modelmeta(self) -> ModelMeta:
        graph, name = self.model.graph, self.model.file.config.architecture
        return ModelMeta(name, dict(graph.metadata))

    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"]

    def get_session_options(self) -> SessionOptions:
        return SessionOptions(self.model.threads)

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any]) -> list[Any]:
        """The outputs of these names, or all in the graph's order.

        Raises EdgeError for an input that is not as `get_inputs` says, before anything runs.
        """
        known = [value.name for value in self.model.graph.outputs]
        wanted = list(known if output_names is None else output_names)
        for name in wanted:
            if name not in known:
                listed = ", ".join(map(repr, known))
                raise EdgeError(f"no output {name!r:.80}; the graph has {listed}")
        feeds = checked(self.model.graph.inputs, input_feed)
        results = self._watched(feeds)
        by_name = dict(zip(known, results, strict=True))
        return [by_name[name] for name in wanted]

    def _watched(self, feeds: dict[str, Any]) -> tuple[Any, ...]:
        if self.watch is None:  # which would take longer than many a graph
            with self._telling():
                return self.model.run(feeds)
        self.watch.admit()
        self.watch.start()
        try:
            with self._telling():
                return self.model.run(feeds)
        finally:
            self.watch.stop()

    def close(self) -> None:
        if self.watch is not None:
            self.watch.close()
        self.model.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _argument(value: Value) -> Argument:
    shape = None if value.shape is None else list(value.shape)
    return Argument(value.name, _spelled(value.dtype), shape)


def _spelled(dtype: str) -> str:
    """ "seq(tensor(float))" of "sequence(float32)"."""
    kind, _, inner = dtype.partition("(")
    if kind in ("sequence", "optional"):
        return f"{'seq' if kind == 'sequence' else kind}({_spelled(inner[:-1])})"
    if kind == "map":
        key, _, values = inner[:-1].partition(",")
        return f"map({key},{_spelled(values)})"
    return f"tensor({_TYPES.get(dtype, dtype)})"
