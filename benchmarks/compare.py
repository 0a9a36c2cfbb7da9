"""edge beside llama.cpp: the same weights, one run, A B A B, medians and ratios.

    python benchmarks/compare.py FOLDER [--rounds 5] [--only smollm2-q4_1,...] > table.md

FOLDER keeps what the run needs and makes on first use: llama.cpp (llama_cpp.py), the models
(fetch_model.py, random_models.py) and their exports.  Every figure of a round is taken within a
minute of its peer's; the read bandwidth is measured in the same round.  Also writes
FOLDER/compare.json.  Let the machine be idle otherwise.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
SMOLLM2 = "SmolLM2-135M-Instruct.Q4_1.gguf"


@dataclass
class Case:
    """One model in both engines, and how many tokens to read and to write."""

    name: str
    gguf: str
    prompt: int
    generate: int
    make: list[str]  # command that makes the GGUF file; {} is its path


CASES = [
    Case("smollm2-q4_1", SMOLLM2, 512, 128, ["{python}", "{here}/fetch_model.py", "{}"]),
    Case("smollm2-q4_0", "smollm2-q4_0.gguf", 512, 128,
         ["{folder}/bin/llama-quantize", "--allow-requantize", "--pure", "--token-embedding-type",
          "q8_0", "{folder}/" + SMOLLM2, "{}", "Q4_0", "2"]),
    Case("llama-1.1b-q4_0", "llama-1.1b-q4_0.gguf", 128, 32,
         ["{python}", "{here}/random_models.py", "llama-1.1b", "q4_0", "{}"]),
    Case("llama-1.1b-q4_k_m", "llama-1.1b-q4_k_m.gguf", 128, 32,
         ["{python}", "{here}/random_models.py", "llama-1.1b", "q4_k_m", "{}"]),
    Case("bitnet-2b-tq2_0", "bitnet-2b-tq2_0.gguf", 128, 32,
         ["{python}", "{here}/random_models.py", "bitnet-2b", "tq2_0", "{}"]),
]  # fmt: skip


def _forget(path: Path) -> None:
    """Drop the file's pages: those just written lie scattered, and are read up to 8 % slower."""
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@dataclass
class Row:
    """Tokens a second of one test, both engines, a value a round."""

    case: str
    test: str
    threads: int
    edge: list[float] = field(default_factory=list)
    llama: list[float] = field(default_factory=list)
    share: list[float] = field(default_factory=list)  # of the round's read bandwidth

    @property
    def ratio(self) -> float:
        return statistics.median(self.edge) / statistics.median(self.llama)


class Run:
    def __init__(self, folder: Path, threads: list[int]):
        self.folder, self.threads = folder, threads
        self.rows: dict[tuple[str, str, int], Row] = {}
        self.bandwidth: dict[int, list[float]] = {n: [] for n in threads}
        self.memory: dict[str, dict[str, int]] = {}
        self.exported: set[Path] = set()

    def prepare(self, case: Case) -> tuple[Path, Path]:
        """Paths of the GGUF file, made if it is missing, and of its export, made in every run."""
        gguf, packed = self.folder / case.gguf, (self.folder / case.gguf).with_suffix(".edge")
        if not gguf.exists():
            names = {"python": sys.executable, "here": HERE, "folder": self.folder}
            made = [part.replace("{}", str(gguf)).format(**names) for part in case.make]
            subprocess.run(made, check=True, stdout=sys.stderr)
        if gguf not in self.exported:  # by this version, whatever lies there
            subprocess.run([*EDGE, "export", gguf, "-o", packed], check=True)
            self.exported.add(gguf)
            for path in (gguf, packed):
                _forget(path)
        return gguf, packed

    def measure(self, case: Case) -> None:
        """One round of a case: llama.cpp, then edge."""
        gguf, packed = self.prepare(case)
        tests = ["-p", str(case.prompt), "-n", str(case.generate)]
        threads = ",".join(map(str, self.threads))
        bench = [self.folder / "bin" / "llama-bench", "-m", gguf, *tests, "-t", threads]
        for found in run_json([*bench, "-r", "1", "-o", "json"]):
            prompt, generate = found["n_prompt"], found["n_gen"]
            test = f"pp{prompt}" if prompt else f"tg{generate}"
            self.row(case, test, found["n_threads"]).llama.append(found["avg_ts"])
        document = run_json([*EDGE, "bench", packed, *tests, "-t", threads, "-r", "1", "--json"])
        for count, gb_s in document["read_bandwidth_gb_s"].items():
            self.bandwidth[int(count)].append(gb_s)
        for found in document["results"]:
            row = self.row(case, found["test"], found["threads"])
            row.edge.append(found["median_tok_s"])
            if found["bandwidth_share"]:
                row.share.append(found["bandwidth_share"])

    def row(self, case: Case, test: str, threads: int) -> Row:
        return self.rows.setdefault((case.name, test, threads), Row(case.name, test, threads))

    def measure_memory(self, case: Case) -> None:
        """Peak resident memory of a short decode."""
        gguf, packed = self.prepare(case)
        bench = [self.folder / "bin" / "llama-bench", "-m", gguf, "-p", "0", "-n", "8", "-r", "1"]
        self.memory[case.name] = {
            "file": packed.stat().st_size,
            "edge": peak_rss([*EDGE, "run", packed, "--raw", "Once", "-n", "8", "-c", "512"]),
            "llama": peak_rss([*bench, "-t", "2"]),
        }


def measure_neighbour(run: Run, case: Case, rounds: int) -> dict[str, list[float]]:
    """Decode with two threads while a process keeps one core busy, and alone with one."""
    gguf, packed = run.prepare(case)
    found: dict[str, list[float]] = {
        "edge_1": [],
        "edge_2_busy": [],
        "llama_1": [],
        "llama_2_busy": [],
    }
    bench = [run.folder / "bin" / "llama-bench", "-m", gguf, "-p", "0", "-n", "64", "-r", "1"]
    ours = [*EDGE, "bench", packed, "-p", "0", "-n", "64", "-r", "1", "--json"]
    for _ in range(rounds):
        found["llama_1"].append(run_json([*bench, "-t", "1", "-o", "json"])[0]["avg_ts"])
        found["edge_1"].append(run_json([*ours, "-t", "1"])["results"][0]["median_tok_s"])
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as hog:
            try:
                busy = run_json([*bench, "-t", "2", "-o", "json"])[0]["avg_ts"]
                found["llama_2_busy"].append(busy)
                found["edge_2_busy"].append(
                    run_json([*ours, "-t", "2"])["results"][0]["median_tok_s"]
                )
            finally:
                hog.kill()
    return found


EDGE = [sys.executable, "-m", "edge"]


def run_json(command: list) -> dict | list:
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def peak_rss(command: list) -> int:
    """Bytes: the largest resident set that a command reached."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command[0]} failed with status {status}")
    return usage.ru_maxrss * 1024


def table(run: Run) -> str:
    lines = [
        "| model | test | threads | edge tok/s | llama.cpp tok/s | ratio | share of bandwidth |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in run.rows.values():
        share = f"{statistics.median(row.share):.0%}" if row.share else "-"
        lines.append(
            f"| {row.case} | {row.test} | {row.threads} | {spread(row.edge)} | {spread(row.llama)} "
            f"| **{row.ratio:.2f}** | {share} |"
        )
    for threads, values in run.bandwidth.items():
        lines.append(f"\nRead bandwidth, {threads} thread(s): {spread(values)} GB/s.")
    for name, memory in run.memory.items():
        sizes = ", ".join(f"{key} {value / 1e6:.0f} MB" for key, value in memory.items())
        lines.append(f"\nPeak resident memory of a short decode, {name}: {sizes}.")
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def machine() -> str:
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
        model = f"{len(names)} x {names[0]}"
    except (OSError, IndexError):
        pass
    versions = run_json([*EDGE, "doctor", "--json"])
    kernels = versions["kernels"]
    return f"{model}, {platform.platform()}, Python {platform.python_version()}, kernels {kernels}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--only", default=",".join(case.name for case in CASES))
    parser.add_argument("--no-neighbour", action="store_true")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    subprocess.run([sys.executable, HERE / "llama_cpp.py", folder], check=True, stdout=sys.stderr)
    run = Run(folder, [int(n) for n in arguments.threads.split(",")])
    cases = [case for case in CASES if case.name in arguments.only.split(",")]
    for number in range(arguments.rounds):
        for case in cases:
            print(f"round {number + 1} of {arguments.rounds}: {case.name}", file=sys.stderr)
            run.measure(case)
    for case in cases:
        run.measure_memory(case)
    print(machine() + "\n\n" + table(run))
    found = {"rows": [vars(row) for row in run.rows.values()], "memory": run.memory}
    if not arguments.no_neighbour:
        found["neighbour"] = measure_neighbour(run, cases[0], arguments.rounds)
        lines = "\n".join(f"- {name}: {spread(v)} tok/s" for name, v in found["neighbour"].items())
        print(f"\n{cases[0].name}, decode beside a process that keeps one core busy:\n\n{lines}")
    (folder / "compare.json").write_text(json.dumps(found | {"bandwidth": run.bandwidth}))


if __name__ == "__main__":
    main()
