"""edge run of a graph: arrays in, arrays out."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import EdgeError

from . import arrays, opening
from .terminal import note

if TYPE_CHECKING:
    import numpy as np


def command(args: argparse.Namespace) -> int:
    if args.prompt is not None:
        raise EdgeError(
            f"a graph reads no text ({args.prompt!r:.40}); give it --input NAME=FILE.npy"
        )
    feeds = arrays.given(args.inputs)
    started = time.perf_counter()
    with opening.open_graph(args) as session:
        loaded = time.perf_counter()
        names = [value.name for value in session.get_outputs()]
        results = dict(zip(names, session.run(None, feeds), strict=True))
        done = time.perf_counter()
    files = {} if args.output is None else arrays.save(Path(args.output), results)
    rows = [_described(name, result, files.get(name)) for name, result in results.items()]
    timings = {"load_s": round(loaded - started, 6), "run_s": round(done - loaded, 6)}
    if args.json:
        print(json.dumps({"outputs": rows, "timings": timings}))
        return 0
    for row in rows:
        print(_line(row))
    note(f"{1000 * timings['run_s']:.1f} ms, loaded in {1000 * timings['load_s']:.0f} ms")
    return 0


def _described(name: str, result: Any, file: str | None) -> dict[str, Any]:
    described: dict[str, Any] = {"name": name, "dtype": None, "shape": None, "file": file}
    if isinstance(result, list | tuple):
        described["items"] = len(result)
    elif result is not None:
        array: np.ndarray = result
        dtype = "string" if array.dtype == object else str(array.dtype)
        described |= {"dtype": dtype, "shape": list(array.shape)}
    return described


def _line(row: dict[str, Any]) -> str:
    what = f"{row['items']} arrays" if "items" in row else f"{row['dtype']} {row['shape']}"
    where = f"  {row['file']}" if row["file"] else ""
    return f"{row['name']}  {what}{where}"
