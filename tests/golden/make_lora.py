"""Adapters of a tiny llama as PEFT saves them, and the weights it makes of them.

    python tests/golden/make_lora.py        # needs torch 2.13, transformers, peft 0.21, optimum

Each case is a folder lora/CASE with adapter_config.json and adapter_model.safetensors; expected.npz
has the first rows of the weights that the adapter touches, merged, float32. The base is tests/golden/llama2.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file

HERE = Path(__file__).parent
BASE = HERE / "llama2"
ROWS = 8
FIRST = {"layers_to_transform": [0]}
CASES: dict[str, dict[str, Any]] = {
    "plain": {"r": 2, "lora_alpha": 3, "target_modules": ["q_proj", "down_proj"]} | FIRST,
    "rslora": {"r": 3, "lora_alpha": 4, "use_rslora": True, "target_modules": ["v_proj"]} | FIRST,
    "patterns": {
        "r": 2,
        "lora_alpha": 2,
        "target_modules": ["k_proj", "o_proj"],
        "rank_pattern": {"k_proj": 4},
        "alpha_pattern": {"layers.0.self_attn.o_proj": 7},
    }
    | FIRST,
    "embedding": {
        "r": 2,
        "lora_alpha": 5,
        "target_modules": ["embed_tokens", "up_proj"],
        "modules_to_save": ["input_layernorm"],
    },
}


@torch.no_grad()
def make(case: str, settings: dict[str, Any]) -> None:
    torch.manual_seed(5)
    config = transformers.AutoConfig.from_pretrained(BASE)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(load_file(BASE / "model.safetensors"), strict=False)
    before = {name: w.clone() for name, w in model.state_dict().items()}
    adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **settings))
    for name, parameter in adapted.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            parameter += 0.1 * torch.randn_like(parameter)
    adapted.save_pretrained(HERE / "lora" / case, save_embedding_layers=False)
    (HERE / "lora" / case / "README.md").unlink(missing_ok=True)
    merged = adapted.merge_and_unload().state_dict()
    changed = {n: w[:ROWS].numpy() for n, w in merged.items() if not torch.equal(w, before[n])}
    np.savez_compressed(HERE / "lora" / case / "expected.npz", **changed)
    written = json.loads((HERE / "lora" / case / "adapter_config.json").read_text())
    written |= {"base_model_name_or_path": "llama2"}
    text = json.dumps(written, indent=1, sort_keys=True) + "\n"
    (HERE / "lora" / case / "adapter_config.json").write_text(text)
    print(case, sorted(changed))


if __name__ == "__main__":
    for case, settings in CASES.items():
        make(case, settings)
