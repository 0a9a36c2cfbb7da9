"""A path is opened as what it is."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from edge.errors import SourceError
from edge.exporter.sources import open_source
from edge.exporter.sources.gguf import GgufSource
from edge.exporter.sources.huggingface import HuggingFaceSource
from edge.exporter.sources.llama2c import Llama2cSource


def test_a_gguf_file_is_one(write_gguf):
    embedding = {"token_embd.weight": (np.ones((8, 64), np.float32), "F32")}

    assert isinstance(open_source(write_gguf("llama", {}, embedding)), GgufSource)


def test_a_folder_is_hugging_face_s(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    save_file({"w": np.ones(3, np.float32)}, tmp_path / "model.safetensors")

    assert isinstance(open_source(str(tmp_path)), HuggingFaceSource)


def test_a_bin_file_is_llama2_c_s(test_data):
    assert isinstance(open_source(test_data("stories260K/stories260K.bin")), Llama2cSource)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SourceError, match="no such file or folder.*absent.gguf"):
        open_source(tmp_path / "absent.gguf")


def test_another_kind_of_file_is_refused(tmp_path):
    (tmp_path / "model.tflite").write_bytes(b"x")

    with pytest.raises(SourceError, match="not a model edge can read"):
        open_source(tmp_path / "model.tflite")


def test_without_gguf_py_the_package_to_install_is_named(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    script = (
        "import sys; sys.modules['gguf'] = None\n"
        "from edge.errors import SourceError\n"
        "from edge.exporter.sources import open_source\n"
        "try: open_source(sys.argv[1])\n"
        "except SourceError as error: print(error)\n"
    )
    root = Path(__file__).parents[3]

    run = [sys.executable, "-c", script, str(tmp_path / "model.gguf")]
    done = subprocess.run(run, cwd=root, capture_output=True, text=True, check=True)

    assert "needs the package gguf: pip install" in done.stdout
