"""MiniLM in ONNX Runtime: what minilm.py runs beside edge, in a Python that has the packages.

    python onnx_encoder.py export MODEL OUT.onnx      needs torch, transformers, onnx, onnxruntime
    python onnx_encoder.py serve OUT.onnx THREADS     needs onnxruntime

`export` writes the model with mean pooling, and beside it its dynamic int8 form (per channel) as
OUT.int8.onnx.  `serve` reads lines "tokens repetitions" and answers with two numbers a repetition
of one text: milliseconds by the clock, and of processor time.
"""

import sys
import time
from pathlib import Path

import numpy as np


def export(folder: str, out: str) -> None:
    import torch
    import transformers
    from onnxruntime.quantization import QuantType, quantize_dynamic

    class Pooled(torch.nn.Module):
        """A text's mean of unit length."""

        def __init__(self) -> None:
            super().__init__()
            self.bert = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager")

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            hidden = self.bert(input_ids, attention_mask=attention_mask).last_hidden_state
            mask = attention_mask[..., None].to(hidden.dtype)
            mean = (hidden * mask).sum(1) / mask.sum(1)
            return torch.nn.functional.normalize(mean, dim=1)

    example = torch.ones(1, 16, dtype=torch.long), torch.ones(1, 16, dtype=torch.long)
    axes = {0: "texts", 1: "tokens"}
    torch.onnx.export(
        Pooled().eval(),
        example,
        out,
        input_names=["input_ids", "attention_mask"],
        output_names=["embedding"],
        dynamic_axes={"input_ids": axes, "attention_mask": axes},
        opset_version=17,
        dynamo=False,
    )
    quantize_dynamic(out, int8_of(out), per_channel=True, weight_type=QuantType.QInt8)


def int8_of(out: str) -> str:
    return str(Path(out).with_suffix(".int8.onnx"))


def serve(path: str, threads: int) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    print("ready", flush=True)
    for line in sys.stdin:
        tokens, repetitions = map(int, line.split())
        ids = np.arange(tokens, dtype=np.int64)[None] * 7919 % 30000
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        taken = [timed(lambda: session.run(None, feed)) for _ in range(repetitions)]  # noqa: B023
        print(*(ms for pair in taken for ms in pair), flush=True)


def timed(work) -> tuple[float, float]:
    """Milliseconds by the clock, and of this process's processor time."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return 1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - processor)


if __name__ == "__main__":
    if sys.argv[1] == "export":
        export(sys.argv[2], sys.argv[3])
    else:
        serve(sys.argv[2], int(sys.argv[3]))
