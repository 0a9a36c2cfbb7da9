"""Does edge compute what llama.cpp computes? Perplexity and greedy text of the same weights.

    python benchmarks/agreement.py FOLDER [--text FILE] [--chunks 8]

FOLDER as in compare.py.  Without --text, the documentation of Python's language that every Python
carries (pydoc_data.topics) is the text.
"""

import argparse
import json
import pydoc_data.topics
import re
import subprocess
import sys
from pathlib import Path

from compare import CASES, EDGE, Run, run_json

PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a small village by the sea,",
    "def fibonacci(n):\n",
    "The three laws of thermodynamics state that",
    "To bake a loaf of bread, you first need to",
    "In 1969, the first humans",
    "Water boils at 100 degrees Celsius because",
    "My favourite season is autumn, since",
    "SELECT name, age FROM users WHERE",
    "The difference between a virus and a bacterium is that",
]
TOKENS = 32
NEAR = 0.05


def perplexities(run: Run, case, text: Path, chunks: int) -> tuple[float, float]:
    gguf, packed = run.prepare(case)
    tool = [run.folder / "bin" / "llama-perplexity", "-m", gguf, "-f", text, "-c", "512"]
    done = subprocess.run(
        [*tool, "--chunks", str(chunks), "-t", "2"], capture_output=True, text=True, check=True
    )
    theirs = float(re.search(r"Final estimate: PPL = ([0-9.]+)", done.stdout + done.stderr)[1])
    command = [*EDGE, "eval", packed, "--text", text, "--ctx", "512", "--chunks", str(chunks)]
    return run_json([*command, "--json"])["perplexity"], theirs


def greedy(run: Run, case, prompt: str) -> tuple[str, str, list[int]]:
    """Continuations by edge and by llama.cpp, and edge's token ids."""
    gguf, packed = run.prepare(case)
    ours = [*EDGE, "run", packed, prompt, "--raw", "--temp", "0", "-n", str(TOKENS), "--json"]
    answer = run_json(ours)
    simple = [run.folder / "bin" / "llama-simple", "-m", gguf, "-n", str(TOKENS), prompt]
    done = subprocess.run(simple, capture_output=True, text=True, check=True)
    return answer["text"], done.stdout.split(prompt, 1)[1], answer["tokens"]


def agreement(ours: str, theirs: str, tokens: list[int], model) -> int:
    """How many of edge's tokens llama.cpp wrote too."""
    for count in range(len(tokens), 0, -1):
        if theirs.startswith(model.detokenize(tokens[:count])):
            return count
    return 0


def gap(model, prompt: str, tokens: list[int]) -> float:
    """Difference of the two top logits after prompt + tokens."""
    model.model.rewind(0)
    logits = model.model.forward([*model.tokenize(prompt), *tokens])[0]
    top = sorted(logits)[-2:]
    return float(top[1] - top[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--text", type=Path)
    parser.add_argument("--chunks", type=int, default=8)
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    here = Path(__file__).parent
    subprocess.run([sys.executable, here / "llama_cpp.py", folder], check=True, stdout=sys.stderr)
    text = arguments.text
    if text is None:
        text = folder / "topics.txt"
        text.write_text("\n".join(pydoc_data.topics.topics.values()))
    import edge

    run, found = Run(folder, [1]), {}
    for case in CASES[:2]:
        ours, theirs = perplexities(run, case, text, arguments.chunks)
        print(
            f"{case.name}: perplexity {ours:.4f}, llama.cpp {theirs:.4f}, ratio {ours / theirs:.4f}"
        )
        found[case.name] = {"perplexity": ours, "llama": theirs, "greedy": []}
    case = CASES[0]
    model = edge.load(run.prepare(case)[1], threads=2)
    for prompt in PROMPTS:
        ours, theirs, tokens = greedy(run, case, prompt)
        same = agreement(ours, theirs, tokens, model)
        note = (
            ""
            if same == len(tokens)
            else f", then a gap of {gap(model, prompt, tokens[:same]):.3f}"
        )
        print(f"{same:3d} of {len(tokens)} tokens{note}: {prompt!r}")
        found[case.name]["greedy"].append({"prompt": prompt, "same": same, "of": len(tokens)})
    (folder / "agreement.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
