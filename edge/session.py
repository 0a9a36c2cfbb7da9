"""A model ready to answer: what `edge.load` returns, and `edge run`, `chat` and `serve` share."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypedDict

from edge.devices.placement import Placement
from edge.devices.policy import Targets
from edge.devices.root import Root
from edge.errors import EdgeError
from edge.opening import open_as
from edge.runtime import state
from edge.runtime.chat import ChatFormat, Message
from edge.runtime.generate import Engine, Progress, Timings
from edge.runtime.libraries.choice import library
from edge.runtime.model import Model
from edge.runtime.sampler import Sampler, recommended
from edge.runtime.tokenizer import Tokenizer
from edge.watch import Note, Watch, WatchedAnswer

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack


class Options(TypedDict, total=False):
    """How to answer; what is left out or None is the model's recommendation, or llama.cpp's.

    max_tokens      at most so many tokens; otherwise until the model ends or the context is full
    temperature     0: always the most likely token
    top_k, top_p, min_p, repeat_penalty, seed   see edge.runtime.sampler
    stop            strings that end the answer; they are not part of it
    progress        gets the prompt's tokens computed so far, and how many are to be
    """

    max_tokens: int | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repeat_penalty: float | None
    seed: int | None
    stop: str | Sequence[str]
    progress: Progress | None


@dataclass(frozen=True)
class Generation:
    """A finished answer.  `energy` is None where nothing measures it."""

    text: str
    tokens: list[int]
    prompt_tokens: int
    finish_reason: str | None
    timings: Timings
    energy: dict[str, Any] | None = None
    temperature_c: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The document of `edge run --json`."""
        names = "load_s", "prefill_s", "decode_s", "prefill_tok_s", "decode_tok_s"
        return {
            "text": self.text,
            "tokens": self.tokens,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": len(self.tokens),
            "finish_reason": self.finish_reason,
            "timings": {name: getattr(self.timings, name) for name in names},
            "energy": self.energy,
            "temperature_c": self.temperature_c,
        }


class Session:
    """One conversation with one model; close it, or use it in a `with`.

        with edge.load("smollm2.edge") as model:
            print(model.generate("Once upon a time", max_tokens=64).text)

    Not for two threads at once.
    """

    def __init__(self, model: Model, load_s: float = 0.0, watch: Watch | None = None):
        self.model = model
        self.watch = watch or Watch(model)
        self.tokenizer = Tokenizer.of(model.file)
        self._chat_format: ChatFormat | None = None
        self._engine = Engine(model)
        self._load_s = load_s
        document = model.file.document["generation"]
        self._recommended = recommended(document, str(model.file.path))

    def generate(self, prompt: str | Iterable[int], **options: Unpack[Options]) -> Generation:
        """The continuation of a text or of token ids."""
        return finished(self.stream(prompt, **options))

    def stream(self, prompt: str | Iterable[int], **options: Unpack[Options]) -> WatchedAnswer:
        """The same, piece by piece; special tokens that the text spells out count as such."""
        if isinstance(prompt, str):
            if not prompt:
                raise EdgeError("the prompt is empty")
            prompt = self.tokenizer.encode(prompt, special=True, bos=True)
        return self._answer(list(prompt), True, (), options)

    def chat(
        self, messages: Sequence[Message], *, stream: bool = False, **options: Unpack[Options]
    ) -> Any:
        """The answer to a conversation, shaped like OpenAI's: a completion, or chunks of one."""
        answer = self.reply(messages, **options)
        return self._chunks(answer) if stream else self._completion(answer)

    def reply(self, messages: Sequence[Message], **options: Unpack[Options]) -> WatchedAnswer:
        """The answer to a conversation, piece by piece as text."""
        chat = self.chat_format
        return self._answer(chat.encode(messages), False, chat.stops, options)

    def tokenize(self, text: str, *, special: bool = False, bos: bool = False) -> list[int]:
        """Ids of a text; `special`: parse special tokens in it, `bos`: begin as the model wants."""
        return self.tokenizer.encode(text, special=special, bos=bos)

    def detokenize(self, ids: Sequence[int], *, special: bool = False) -> str:
        """The text of ids, special tokens left out unless `special`."""
        return self.tokenizer.decode(ids, special=special)

    def save_state(self, path: str | Path) -> None:
        """Write what the model has read so far; `load_state` spares reading it again."""
        state.save(path, self._engine)

    def load_state(self, path: str | Path) -> None:
        """Raises FormatError if the file is broken or was saved with another model."""
        state.load(path, self._engine)

    @property
    def chat_format(self) -> ChatFormat:
        if self._chat_format is None:
            self._chat_format = ChatFormat.of(self.model.file, self.tokenizer)
        return self._chat_format

    def close(self) -> None:
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

    def _answer(
        self, prompt: list[int], continues: bool, stops: Sequence[str], options: Options
    ) -> WatchedAnswer:
        own: dict[str, Any] = dict(options)
        max_tokens, progress = own.pop("max_tokens", None), own.pop("progress", None)
        stop = own.pop("stop", None) or ()
        self.watch.admit()
        answer = WatchedAnswer(
            self.watch,
            self._engine,
            self.tokenizer,
            prompt,
            Sampler(self._recommended.but(**own)),
            max_tokens=max_tokens,
            stops=[*stops, *([stop] if isinstance(stop, str) else stop)],
            continues=continues,
            progress=progress or (lambda done, total: None),
        )
        answer.timings.load_s = self._load_s
        return answer

    def _completion(self, answer: WatchedAnswer) -> dict[str, Any]:
        generation = finished(answer)
        message = {"role": "assistant", "content": generation.text}
        choice = {"index": 0, "message": message, "finish_reason": generation.finish_reason}
        prompt, completion = generation.prompt_tokens, len(generation.tokens)
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
        return self._envelope("chat.completion") | {"choices": [choice], "usage": usage}

    def _chunks(self, answer: WatchedAnswer) -> Iterator[dict[str, Any]]:
        envelope = self._envelope("chat.completion.chunk")

        def chunk(delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
            choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
            return envelope | {"choices": [choice]}

        yield chunk({"role": "assistant", "content": ""})
        for piece in answer:
            yield chunk({"content": piece})
        yield chunk({}, answer.finish_reason)

    def _envelope(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": kind,
            "created": int(time.time()),
            "model": self.model.file.path.stem,
        }


def finished(answer: WatchedAnswer) -> Generation:
    """Run an answer to its end."""
    for _ in answer:
        pass
    return Generation(
        text=answer.text,
        tokens=answer.tokens,
        prompt_tokens=len(answer.prompt),
        finish_reason=answer.finish_reason,
        timings=answer.timings,
        energy=answer.energy,
        temperature_c=answer.temperature_c,
    )


def load(
    path: str | Path,
    *,
    threads: int | None = None,
    context: int | None = None,
    kv: str | None = None,
    targets: Targets | None = None,
    note: Note = lambda text: None,
    compiling: Progress | None = None,
) -> Session:
    """Open a language model.

    threads    defaults to the cores this process may use; where some are little, to the big ones, on which
               threads are then kept: the caller's own only while it computes
    context    tokens of prompt and answer together; defaults to the model's own, at most 4096
    kv         kind of KV cache: float16 (unless the model is float32), int8, int4 or float32
    targets    limits of temperature, power and battery; see edge.devices.policy
    note       hears what the governor does, and why
    compiling  hears how many kernels are compiled, of how many, when this machine sees them first

    Raises FormatError, UnsupportedModel, DoesNotFit, DeviceError, OSError.
    """
    started = time.perf_counter()
    placement = Placement.find(Root(), threads)
    with placement or nullcontext():
        count = placement.count if placement else None
        model = load_model(
            path, threads=threads or count, context=context, kv=kv, compiling=compiling
        )
    try:
        session = Session(model, watch=Watch(model, targets, note, placement=placement))
    except BaseException:
        model.close()
        raise
    session._load_s = time.perf_counter() - started
    return session


def load_model(path: str | Path, *, compiling: Progress | None = None, **settings: Any) -> Model:
    """The model alone; `settings` are Model's."""
    file = open_as(path, "decoder")
    kernels = library()
    with kernels.telling(compiling):
        return Model(file, kernels=kernels, **settings)
