"""edge export: a source model becomes an .edge file."""

from __future__ import annotations

import argparse
import json
import os
import textwrap
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from . import quantities
from .progress import Progress
from .terminal import note
from .usage import UsageError, whole

if TYPE_CHECKING:
    from edge.exporter import ExportReport, Images
    from edge.exporter.explain import ClassPlan, Explanation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "source",
        metavar="SRC",
        nargs="?",
        help="a .gguf or .onnx file, a Hugging Face folder, or ollama:NAME",
    )
    add("-o", "--output", metavar="OUT.edge", help="the file to write")
    add("--quant", metavar="RECIPE", default="keep", help="keep if not given; `list` lists them")
    add("--group", type=whole(0), metavar="N", help="weights that share a scale")
    add(
        "--calib",
        metavar="PATH",
        help="what to read: a text, a folder of them, a .npy of ids, self, or self+TEXT; of a graph .npz, .npy, "
        "images, or a folder of them",
    )
    for part in ("mean", "std"):
        add(
            f"--image-{part}",
            metavar="N[,N,N]",
            type=_numbers,
            help=f"of images to calibrate with: the model's own {part} of pixels 0 .. 255",
        )
    add(
        "--max-drop",
        metavar="X",
        help="of a graph: layers stay floats until it is so near; 0.02 of the output, top1:0.01",
    )
    add("--lora", metavar="FOLDER", help="an adapter of PEFT's to merge into the model")
    add(
        "--lora-apart",
        action="store_true",
        help="leave it beside matrices that stay as they are, instead",
    )
    add("--doctor", metavar="FILE",
        help="what `edge doctor --json` said on the device, for mixed:12ms")  # fmt: skip
    add("--explain", action="store_true", help="what the recipe would do; writes nothing")
    add("--report", metavar="FILE.html", help="write a page about the export: sizes, errors, plots")
    add("--force", action="store_true", help="apply a recipe that ruins the model")
    add("--json", action="store_true", help="one JSON document")


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def command(args: argparse.Namespace) -> int:
    if args.quant == "list":
        print(_recipes(args.json))
        return 0
    if args.explain and args.source is not None:
        print(_explanation(args))
        return 0
    if args.source is None or args.output is None:
        missing = "SRC" if args.source is None else "-o OUT.edge"
        raise UsageError(f"{missing} is missing; see edge export --help")
    report = _export(args)
    print(json.dumps(report.to_json()) if args.json else _summary(report))
    for text in report.notes:
        note(f"note: {text}")
    for text in report.cautions:
        note(f"caution: {text}")
    return 0


def _export(args: argparse.Namespace) -> ExportReport:
    _leave_threads_to_edge()
    from edge.exporter import export

    try:
        return _with_progress(args, export)
    except KeyboardInterrupt:
        work = f"{args.output}.unfinished"
        if os.path.exists(work):
            note(f"note: what is done lies in {work}; the same command goes on from there")
        raise


def _leave_threads_to_edge() -> None:
    """Before NumPy is there: rows are quantized side by side on all cores, and as many threads of
    BLAS for each of them wait for each other, six times as long where the machine is busy."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def _with_progress(args: argparse.Namespace, export: Callable[..., ExportReport]) -> ExportReport:
    with (
        Progress("calibrating", lambda n: f"{n} steps") as calibrating,
        Progress("exporting", lambda n: f"{quantities.count(n)} weights") as progress,
    ):
        return export(
            args.source,
            args.output,
            quant=args.quant,
            group=args.group,
            calib=_calib(args),
            max_drop=args.max_drop,
            lora=args.lora,
            lora_apart=args.lora_apart,
            speeds=_speeds(args.doctor),
            force=args.force,
            report=args.report,
            progress=progress,
            calibrating=calibrating,
        )


def _calib(args: argparse.Namespace) -> str | Images | None:
    from edge.exporter import Images

    mean, std = args.image_mean, args.image_std
    if (mean, std) == (None, None):
        calib: str | None = args.calib
        return calib
    if args.calib is None or mean is None or std is None:
        raise UsageError("--image-mean and --image-std go together, with --calib FOLDER")
    return Images(args.calib, mean, std)


def _speeds(path: str | None) -> dict[str, float] | None:
    """GB/s of weights by format, as `edge doctor --json` measured them."""
    if path is None:
        return None
    try:
        with open(path, encoding="utf-8") as file:
            rates = json.load(file)["products"]["gb_s"]
        return {str(name): float(rate) for name, rate in rates.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(
            f"{path}: no rates of products in it; expected what `edge doctor --json` prints"
        ) from None


def _summary(report: ExportReport) -> str:
    return (
        f"{report.output}: {quantities.size(report.bytes)}, {report.bits_per_weight:.2f} bits a "
        f"weight ({report.recipe}), {report.seconds:.1f} s"
    )


def _explanation(args: argparse.Namespace) -> str:
    _leave_threads_to_edge()
    from edge.exporter.explain import explain

    speeds = _speeds(args.doctor)
    plan = explain(
        args.source, args.quant, args.group, args.calib, args.lora, args.lora_apart, speeds
    )
    if args.json:
        return json.dumps(plan.to_json() | {"kernels": _kernels(plan)})
    size, seconds = quantities.size(plan.bytes), plan.seconds
    parts = ", ".join(
        f"{name} {quantities.duration(value)}" for name, value in asdict(seconds).items() if value
    )
    bits = f"{plan.bits_per_weight:.2f} bits a weight"
    lines = [
        *map(_class, plan.classes),
        f"{plan.recipe}: {size}, {bits}, error {plan.error:.2%}; nothing is written",
        f"kernels: {', '.join(_kernels(plan))}",
        f"time: about {quantities.duration(seconds.total)} ({parts}): an estimate",
    ]
    return "\n".join([*lines, *(f"caution: {text}" for text in plan.cautions)])


def _kernels(plan: Explanation) -> list[str]:
    """That would read the weights: products, and rows of an embedding."""
    from edge.runtime.kernels.catalogue import KERNELS

    is_tied = "output" not in {c.name for c in plan.classes}  # the embedding is the output too
    multiplied = [c for c in plan.classes if c.name != "embedding" or is_tied]
    named = [_product(c.format, activation) for c in multiplied for activation in c.activations]
    named += [f"embedding-{c.format}" for c in plan.classes if c.name == "embedding"]
    return [name for name in dict.fromkeys(named) if name in KERNELS]


def _product(form: str, activation: str) -> str:
    return f"weight-only-{form.partition('-g')[0]}" if activation == "float" else f"matmul-{form}"


def _class(plan: ClassPlan) -> str:
    error = "" if plan.error is None else f"error {plan.error:.2%}"
    size = quantities.size(plan.bytes)
    return f"{plan.name:24} {plan.tensors:4} x {plan.format:18} {size:>10}  {error}".rstrip()


def _recipes(as_json: bool) -> str:
    from edge.exporter import language
    from edge.exporter.recipe import RECIPES

    if as_json:
        return json.dumps(RECIPES)
    fill = textwrap.TextWrapper(width=100, subsequent_indent=" " * 17)
    lines = [fill.fill(f"{name:17}{text}") for name, text in RECIPES.items()]
    return "\n".join([*lines, "", *map(fill.fill, language.describe())])
