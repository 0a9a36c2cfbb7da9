"""llama.cpp for aarch64, cross-compiled, and the program that runs it in countable regions."""

import subprocess
import tempfile
from pathlib import Path

import llama_cpp

OPTIONS = {
    "CMAKE_SYSTEM_NAME": "Linux",
    "CMAKE_SYSTEM_PROCESSOR": "aarch64",
    "CMAKE_C_COMPILER": "aarch64-linux-gnu-gcc",
    "CMAKE_CXX_COMPILER": "aarch64-linux-gnu-g++",
    "CMAKE_BUILD_TYPE": "Release",
    "BUILD_SHARED_LIBS": "OFF",
    "GGML_NATIVE": "OFF",
    "GGML_OPENMP": "OFF",  # one thread runs; what remains of it would only be counted
    "LLAMA_CURL": "OFF",
    "LLAMA_BUILD_COMMON": "OFF",
    "LLAMA_BUILD_TOOLS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_SERVER": "OFF",
}
ARCHIVES = ["src/libllama.a", "ggml/src/libggml.a", "ggml/src/libggml-cpu.a", "ggml/src/libggml-base.a"]  # fmt: skip


def build(folder: Path, architecture: str) -> Path:
    """The program for an architecture as GCC names it (armv8.2-a+dotprod), static.

    Needs cmake and Debian's g++-aarch64-linux-gnu; some minutes, unless it is there already.
    """
    program = folder / f"llama-{architecture}"
    if program.exists():
        return program
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        source, work = llama_cpp.fetch_source(Path(scratch)), Path(scratch, "build")
        options = [f"-D{name}={value}" for name, value in OPTIONS.items()]
        options.append(f"-DGGML_CPU_ARM_ARCH={architecture}")
        command = ["cmake", "--build", work, "--parallel", "2", "--target", "llama"]
        for step in (["cmake", "-S", source, "-B", work, *options], command):
            subprocess.run(step, check=True, stdout=subprocess.DEVNULL)
        includes = [f"-I{source / name}" for name in ("include", "ggml/include")]
        command = [OPTIONS["CMAKE_CXX_COMPILER"], "-O2", "-static", "-o", program, *includes]
        archives = [work / name for name in ARCHIVES]
        main = Path(__file__).parent / "llama.cpp"
        subprocess.run([*command, main, *archives, "-lpthread", "-ldl"], check=True)
    return program
