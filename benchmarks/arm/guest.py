"""Prefill and decode with edge, each as a region that count.c counts; runs on the emulated CPU.

    guest.py MODEL.edge PREFILL DECODE TOKEN...

The regions are those of llama.cpp beside this file.  Prints a JSON document: the text, how many
tokens region 2 decoded, and where in memory the kernels and the libraries are.
"""

import ctypes
import json
import sys
from pathlib import Path

import edge
from edge.runtime.kernels import catalogue
from edge.runtime.libraries.choice import library

REGION = 0x45444745


def main(path: str, prefill: int, decode: int, prompt: list[int]) -> None:
    many = [prompt[i % len(prompt)] for i in range(prefill)]
    with edge.load(path, threads=1, context=512) as session:
        model = session.model
        model.forward(many)
        model.rewind(0)
        region(0)
        model.forward(many)
        region(1)

        model.rewind(0)
        answer = session.stream(prompt, max_tokens=decode + 8, temperature=0.0)
        next(answer)
        before = len(answer.tokens)
        region(0)
        while len(answer.tokens) < before + decode:
            next(answer)
        region(2)
        kernels = list(catalogue.NAMES)
        document = {
            "text": answer.text,
            "tokens": len(answer.tokens) - before,
            "library": f"{library().source} {library().target.name}",
            "kernels": {name: library().address(name) for name in kernels},
            "maps": Path("/proc/self/maps").read_text().splitlines(),
        }
        print(json.dumps(document))


def region(number: int) -> None:
    prctl = ctypes.CDLL(None).prctl
    prctl(*(ctypes.c_ulong(value) for value in (REGION, number, 0, 0, 0)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), [int(t) for t in sys.argv[4:]])
