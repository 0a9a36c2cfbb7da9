"""The page about an export: what was expected before it, what came out, and how good that is."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from edge.errors import DoesNotFit

from . import page
from .architectures import lower
from .calibration.corpus import Text, own_and_text, windows_for
from .calibration.statistics import HELD_OUT, Statistics
from .explain import explain
from .page.quality import Quality
from .report import ExportReport
from .sources import Source
from .weights import Weights

MOST = 4  # windows: some hundred positions each tell a good recipe from a bad one
Calib = Text | Statistics | None


class Inspection:
    """Made before the export, to predict; `publish` writes the page."""

    def __init__(self, path: Path, source: Source, quant: str, group: int | None, calib: Calib):
        self._path, self._source, self._calib = path, source, calib
        text = None if isinstance(calib, Statistics) else calib
        self._plan = explain(source, quant, group, text)

    def publish(
        self,
        done: ExportReport,
        weights: Weights,
        digest: str,
        fallen: Iterable[tuple[str, str]],
        statistics: Statistics | None,
    ) -> None:
        """`weights` as they were stored; `statistics` that the recipe chose by.  Raises OSError."""
        count = None if statistics is None else len(statistics.tokens())
        quality = self._quality(done.output, statistics)
        found = page.gather(done, weights, digest, self._plan, fallen, count, quality)
        page.write(self._path, found)

    def _quality(self, output: Path, statistics: Statistics | None) -> Quality | None:
        """None where there is no text, or no memory for the output matrix in float32.

        Also of an encoder, which predicts no tokens.
        """
        if lower(self._source).kind != "decoder":
            return None
        try:
            if statistics is not None:
                some = slice(HELD_OUT - 1, MOST * HELD_OUT, HELD_OUT)
                return self._compared(output, statistics, some)
            if isinstance(self._calib, Text) and (text := own_and_text(self._calib)[1]) is not None:
                return self._on_text(output, text)
        except DoesNotFit:
            pass
        return None

    def _on_text(self, output: Path, text: Text) -> Quality | None:
        """The recipe read no text: a few windows of it pass through the float model here."""
        from .calibration.collect import collect

        model = lower(self._source)
        ids = windows_for(model, text, self._source.tokenizer(), MOST)[:MOST]
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=".") as folder:
            statistics = collect(self._source, model, ids, Path(folder, "statistics"))
            return self._compared(output, statistics, slice(None))

    def _compared(self, output: Path, statistics: Statistics, some: slice) -> Quality | None:
        from .calibration.compare import compare

        model = lower(self._source)
        ids, hidden = statistics.tokens()[some], statistics.hidden(model.config.layers - 1)[some]
        return compare(output, self._source, model, ids, hidden) if len(ids) else None
