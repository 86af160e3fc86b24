"""Every kind of transformer as transformers loads it: the same logits and the same texts."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.lm.models.positions import RotaryEmbedding
from tests.lm.hub.folders import VOCAB, export, ids, load, model_of
from tests.lm.models.variants import CONTEXT, VARIANTS, settings

MORE: dict[str, dict[str, object]] = {
    "tied Llama": {"tie_embeddings": True, "heads": 4, "kv_heads": 2, "rope_theta": 500.0, "norm_eps": 1e-3, "d_head": 6},
    "tied with waves": {"tie_embeddings": True, "position": "sinusoidal", "norm": "layer", "dropout": 0.3},
    "norms of queries and keys": {"qk_norm": True, "dropout": 0.1},
    "ReLU": {"feed_forward": "relu", "norm_position": "post"},
}
EVERY = VARIANTS | MORE
LLAMAS = {"default", "gated with biases", "tied Llama"}
"""Those that transformers has itself. One more has Llama's modules, but three heads in sixteen numbers, which it refuses."""


class OurAngles(torch.nn.Module):
    """Llama's table of rotary angles with our numbers."""

    def __init__(self, rope: RotaryEmbedding) -> None:
        super().__init__()
        self.cos, self.sin = rope.cos, rope.sin

    def forward(self, x: torch.Tensor, position_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        cos, sin = (torch.cat((part, part), dim=-1)[position_ids].to(x.dtype) for part in (self.cos, self.sin))
        return cos, sin


def in_double(llama: Any, rope: RotaryEmbedding) -> Any:
    """A Llama in float64: its norms and angles, which transformers works out in float32 whatever the type, as ours are."""
    llama.double().model.rotary_emb = OurAngles(rope)
    for block in [llama.model, *llama.model.layers]:
        for name in ("norm", "input_layernorm", "post_attention_layernorm"):
            if theirs := getattr(block, name, None):
                ours = torch.nn.RMSNorm(theirs.weight.shape, theirs.variance_epsilon, dtype=torch.float64)
                ours.weight = theirs.weight
                setattr(block, name, ours)
    return llama


@torch.no_grad()
@pytest.mark.parametrize("name", EVERY)
def test_logits_and_texts_are_ours(name: str, tmp_path: Path) -> None:
    described = settings(**EVERY[name])
    model, batch = model_of(described), ids(2, CONTEXT)
    other = load(export(tmp_path, model, described))
    assert type(other).__name__ == ("LlamaForCausalLM" if name in LLAMAS else "StagecraftForCausalLM")
    logits = model(batch)
    size = max(1.0, logits.abs().max().item() / 10)  # without norms they are larger, and so is their rounding
    torch.testing.assert_close(other(batch).logits, logits, rtol=0, atol=1e-5 * size)

    expected = batch[:, :12]
    while expected.shape[1] < CONTEXT:
        expected = torch.cat((expected, model(expected)[:, -1:].argmax(-1)), dim=1)
    greedy = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0, "max_length": CONTEXT}
    for use_cache in (True, False):
        assert torch.equal(other.generate(batch[:, :12], use_cache=use_cache, **greedy), expected)

    model = model.double()
    other = in_double(other, model.layers[0].attn.rope) if name in LLAMAS else other.double()
    torch.testing.assert_close(other(batch).logits, model(batch), rtol=0, atol=1e-10)
    loss = other(batch, labels=batch).loss.item()
    assert loss == pytest.approx(model.total_loss(batch).item() / (2 * (CONTEXT - 1)), rel=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("name", ["GPT-2", "Vaswani", "wide heads", "Mistral", "strided", "linear and global"])
def test_padding_on_the_left_changes_nothing(name: str, tmp_path: Path) -> None:
    described = settings(**EVERY[name])
    other = load(export(tmp_path, model_of(described), described))
    long, short = ids(1, 9), ids(1, 5)
    both = torch.cat((long, torch.nn.functional.pad(short, (4, 0))))
    seen = torch.tensor([[1] * 9, [0] * 4 + [1] * 5])
    alone = other.generate(short, do_sample=False, eos_token_id=None, pad_token_id=0, max_new_tokens=10)[:, 5:]
    beside = other.generate(both, attention_mask=seen, do_sample=False, eos_token_id=None, pad_token_id=0, max_new_tokens=10)
    assert torch.equal(beside[1:, 9:], alone)


@torch.no_grad()
@pytest.mark.parametrize("name", ["tied Llama", "GPT-2"])
def test_saved_again_it_is_whole(name: str, tmp_path: Path) -> None:
    described = settings(**EVERY[name])
    model = model_of(described)
    load(export(tmp_path, model, described)).save_pretrained(tmp_path / "again")
    torch.testing.assert_close(load(tmp_path / "again")(ids(2, 9)).logits, model(ids(2, 9)), rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_llama_may_be_exported_with_its_code(tmp_path: Path) -> None:
    described = settings()
    model = model_of(described)
    other = load(export(tmp_path, model, described, "custom"))
    assert type(other).__name__ == "StagecraftForCausalLM"
    torch.testing.assert_close(other(ids(2, 9)).logits, model(ids(2, 9)), rtol=0, atol=1e-5)


@torch.no_grad()
def test_every_folder_runs_its_own_code(tmp_path: Path) -> None:
    described = settings(**VARIANTS["GPT-2"])
    folders = {name: tmp_path / name for name in ("ours", "changed")}
    for folder in folders.values():
        folder.mkdir()
    model = model_of(described)
    ours, changed = (export(folder, model, described) for folder in folders.values())
    code = changed / "modeling_stagecraft.py"
    code.write_text(code.read_text().replace("logits = self.lm_head(", "logits = 2 * self.lm_head("))
    torch.testing.assert_close(2 * load(ours)(ids(2, 9)).logits, load(changed)(ids(2, 9)).logits)


@pytest.mark.parametrize("changes", [{"bias": True}, {"tie_embeddings": True, "position": "learned"}])
def test_untrained_models_start_as_ours_do(changes: dict[str, object], tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    from stages.lm.models import registry

    described = settings(d_model=64, **changes)
    out = export(tmp_path, model_of(described), described, "custom")
    other = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(out, trust_remote_code=True), trust_remote_code=True)
    ours = dict(registry.build(described, VOCAB, 0).named_parameters(remove_duplicate=False))
    found = dict(other.named_parameters(remove_duplicate=False))
    assert found.keys() == ours.keys()
    for name, parameter in found.items():
        assert parameter.std().item() == pytest.approx(ours[name].std().item(), rel=0.15)  # type: ignore[attr-defined]
        assert parameter.mean().item() == pytest.approx(ours[name].mean().item(), abs=0.15)  # type: ignore[attr-defined]


ALONE = """
import importlib.util, json, sys
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
assert importlib.util.find_spec("stages") is None
found = []
for folder in sys.argv[1:]:
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True).eval().double()
    found.append(model(torch.arange(1, 13)[None]).logits.tolist())
sys.path.insert(0, folder)
import modeling_stagecraft
modeling_stagecraft.register()
model = AutoModelForCausalLM.from_pretrained(folder).eval().double()
found.append(model(torch.arange(1, 13)[None]).logits.tolist())
print(json.dumps(found))
"""


def test_where_the_project_is_not_installed(tmp_path: Path) -> None:
    """In a process that sees site-packages alone: from a folder with its code, and with that file imported and registered."""
    expected, folders = [], []
    for name in ("linear and global", "Vaswani"):
        described = settings(**EVERY[name])
        model, here = model_of(described), tmp_path / name.replace(" ", "-")
        here.mkdir()
        folders.append(str(export(here, model, described)))
        expected.append(model.double()(torch.arange(1, 13)[None]))
    outside = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"HF_HOME": str(tmp_path / "hub")}
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *folders], cwd=tmp_path, env=outside, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for found_logits, logits in zip(found, [*expected, expected[-1]], strict=True):
        torch.testing.assert_close(torch.tensor(found_logits, dtype=torch.float64), logits, rtol=0, atol=1e-10)
