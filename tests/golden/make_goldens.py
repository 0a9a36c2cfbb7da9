"""Tiny random checkpoints of each family with the logits Hugging Face transformers gives them.

    python tests/golden/make_goldens.py        # needs torch, transformers, safetensors, numpy

Each case is a folder beside this file:

    config.json         in the keys published checkpoints use (rope_theta, rope_scaling, ...)
    config_v5.json      the same configuration as transformers 5 saves it (rope_parameters, ...)
    model.safetensors   F16 or F32
    expected.npz        tokens        int32 [n]
                        logits        float32 [n, vocabulary], one pass over all the tokens
                        logits_short  float32 [k, vocabulary], one pass over the first k tokens
                                      alone (where RoPE depends on the length of the sequence)
                        logits_steps  float32 [8, vocabulary], the last 8 tokens fed one at a time
                                      after the others (only where they differ from `logits`)

cases.py says what each case is about, and this script checks that the logits show it: with the
feature off they must move by more than `FAR`. versions.json records what made the files.
"""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from cases import CASES, Case, Config
from safetensors.torch import save_file
from torch import Tensor, nn

HERE = Path(__file__).parent
SEED = 20
STEPS = 8  # tokens fed one at a time
RELOADED = 1e-5  # the stored checkpoint gives the stored logits
SAME = 1e-4  # steps agree with the full pass
DIFFERENT = 1e-3  # steps are stored
FAR = 0.02  # a feature shows: ten times the 2e-3 that runtimes are held to


def random_weight(name: str, shape: torch.Size, config: Config, rng: torch.Generator) -> Tensor:
    """Values that keep activations of order one and attention far from uniform."""
    z = torch.randn(shape, generator=rng)
    if name.endswith(".bias"):
        return 0.5 * z
    if len(shape) == 1:  # a norm; Gemma's multiply by 1 + w
        return 0.3 * z if "gemma" in config["model_type"] else 1 + 0.3 * z
    if "embed_tokens" in name:
        tied = config.get("tie_word_embeddings", True)
        return z * (1.5 / shape[1] ** 0.5 if tied else 1.0)
    gain = 1.5 if any(part in name for part in ("q_proj", "k_proj", "qkv_proj", "lm_head")) else 1.0
    deviation = gain / shape[1] ** 0.5
    if config["model_type"] == "bitnet":  # exactly ternary; a third of the codes are zero
        codes = torch.randint(-1, 2, shape, generator=rng)
        return codes * torch.tensor(deviation * 1.5**0.5).half().float()
    return z * deviation


def random_weights(case: Case, rng: torch.Generator) -> dict[str, Tensor]:
    """A float32 checkpoint whose values `case.dtype` holds exactly, without a tied lm_head."""
    shapes = {name: w.shape for name, w in model_of(case.config).state_dict().items()}
    if case.config.get("tie_word_embeddings", True):
        del shapes["lm_head.weight"]
    weights = {n: random_weight(n, shapes[n], case.config, rng) for n in sorted(shapes)}
    return {name: w.to(case.dtype).float() for name, w in weights.items()}


def model_of(config: Config, weights: dict[str, Tensor] | None = None) -> nn.Module:
    """A float32 model in transformers; fresh each time, as dynamic RoPE changes the model."""
    parsed = transformers.AutoConfig.for_model(**copy.deepcopy(config))
    model = transformers.AutoModelForCausalLM.from_config(
        parsed, dtype=torch.float32, attn_implementation="eager"
    )
    if weights is not None:
        missing, unexpected = model.load_state_dict(weights, strict=False)
        assert set(missing) <= {"lm_head.weight"} and not unexpected, (missing, unexpected)
    return model.eval()


def full_pass(model: nn.Module, tokens: Tensor) -> np.ndarray:
    """Logits (n, vocabulary)."""
    return model(input_ids=tokens[None], use_cache=False).logits[0].numpy()


def stepwise(model: nn.Module, tokens: Tensor) -> np.ndarray:
    """Logits (STEPS, vocabulary) of the last tokens, fed one at a time after the others."""
    cache = model(input_ids=tokens[None, :-STEPS], use_cache=True).past_key_values
    rows = []
    for token in tokens[-STEPS:]:
        out = model(input_ids=token[None, None], past_key_values=cache, use_cache=True)
        rows.append(out.logits[0, 0].numpy())
    return np.stack(rows)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max())


def three_digits(x: float) -> float:
    return float(f"{x:.3g}")


def store(case: Case, weights: dict[str, Tensor], expected: dict[str, np.ndarray]) -> None:
    """Write the case's folder."""
    folder = HERE / case.name
    folder.mkdir(exist_ok=True)
    document = case.config | {"torch_dtype": str(case.dtype).removeprefix("torch.")}
    text = json.dumps(document, indent=2, sort_keys=True) + "\n"
    (folder / "config.json").write_text(text)
    current = transformers.AutoConfig.from_pretrained(folder)
    (folder / "config_v5.json").write_text(current.to_json_string())
    stored = {name: w.to(case.dtype) for name, w in weights.items()}
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    np.savez_compressed(folder / "expected.npz", **expected)


def check_reload(case: Case) -> None:
    """The files alone, under either config, give the logits in them."""
    folder = HERE / case.name
    expected = np.load(folder / "expected.npz")
    tokens = torch.from_numpy(expected["tokens"]).long()
    for name in ("config.json", "config_v5.json"):
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            config=transformers.AutoConfig.from_pretrained(folder / name),
            dtype=torch.float32,
            attn_implementation="eager",
        )
        off = distance(full_pass(model.eval(), tokens), expected["logits"])
        assert off <= RELOADED, f"{case.name}: reloaded with {name}, the logits are {off} off"


def shown_features(
    case: Case, weights: dict[str, Tensor], tokens: Tensor, logits: np.ndarray
) -> dict[str, float]:
    """How far the logits move without each feature; every one must show."""
    moved = {}
    for without in case.without:
        model = model_of(case.config | without.config, weights)
        for edit in without.edits:
            edit(model)
        moved[without.feature] = three_digits(distance(full_pass(model, tokens), logits))
        print(f"    without {without.feature:28} {moved[without.feature]:8.3f}")
    hidden = [feature for feature, far in moved.items() if far < FAR]
    assert not hidden, f"{case.name}: the logits do not show {hidden}"
    return moved


def make(case: Case, seed: int) -> dict[str, Any]:
    """Store one case, check it, and return its record for versions.json."""
    print(case.name)
    rng = torch.Generator().manual_seed(seed)
    weights = random_weights(case, rng)
    tokens = torch.randint(case.config["vocab_size"], (case.tokens,), generator=rng)
    logits = full_pass(model_of(case.config, weights), tokens)
    expected = {"tokens": tokens.numpy().astype(np.int32), "logits": logits}
    if case.short:
        short = full_pass(model_of(case.config, weights), tokens[: case.short])
        assert distance(short, logits[: case.short]) > FAR, f"{case.name}: length does not matter"
        expected["logits_short"] = short
    steps = stepwise(model_of(case.config, weights), tokens)
    off = distance(steps, logits[-STEPS:])
    assert off <= SAME or off > DIFFERENT, f"{case.name}: steps are {off} off the full pass"
    if off > DIFFERENT:
        expected["logits_steps"] = steps
    store(case, weights, expected)
    check_reload(case)
    return {
        "seed": seed,
        "parameters": sum(w.numel() for w in weights.values()),
        "max_abs_logit": three_digits(float(np.abs(logits).max())),
        "logits_steps": f"stored: up to {off:.3g} from logits" if off > SAME else "as logits",
        "logits_move_without": shown_features(case, weights, tokens, logits),
    }


@torch.no_grad()
def main() -> None:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    records = {}
    for i, case_of in enumerate(CASES):
        case = case_of()
        records[case.name] = make(case, SEED + i)
    text = json.dumps(versions | {"cases": records}, indent=2) + "\n"
    (HERE / "versions.json").write_text(text)


if __name__ == "__main__":
    main()
