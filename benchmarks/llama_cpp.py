"""Build llama.cpp, the peer of every comparison, from the PyPI source package that carries it.

    python benchmarks/llama_cpp.py FOLDER

leaves FOLDER/bin/llama-bench, -imatrix, -perplexity, -quantize, -simple, -tokenize, and
FOLDER/models with its test vocabularies.  Needs cmake and a C++ compiler; ten minutes on two cores.
"""

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "llama-cpp-python==0.3.36"
TOOLS = [
    "llama-bench",
    "llama-imatrix",
    "llama-perplexity",
    "llama-quantize",
    "llama-simple",
    "llama-tokenize",
]
OPTIONS = ["GGML_NATIVE=ON", "LLAMA_CURL=OFF", "LLAMA_BUILD_TESTS=OFF", "LLAMA_BUILD_SERVER=OFF"]


def main(folder: Path) -> None:
    if all((folder / "bin" / tool).exists() for tool in TOOLS):
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        source = fetch_source(Path(work))
        build = Path(work, "build")
        options = [f"-D{o}" for o in [*OPTIONS, "CMAKE_BUILD_TYPE=Release"]]
        static = "-DBUILD_SHARED_LIBS=OFF"
        subprocess.run(["cmake", "-S", source, "-B", build, static, *options], check=True)
        command = ["cmake", "--build", build, "--parallel", "2", "--target", *TOOLS]
        subprocess.run(command, check=True)
        shutil.copytree(build / "bin", folder / "bin", dirs_exist_ok=True)
        shutil.copytree(source / "models", folder / "models", dirs_exist_ok=True)


def fetch_source(work: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:"]
    subprocess.run([*pip, "-d", work, PACKAGE], check=True)
    with tarfile.open(next(work.glob("*.tar.gz"))) as archive:
        archive.extractall(work, filter="data")
    return next(work.glob("llama_cpp_python-*/vendor/llama.cpp"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
