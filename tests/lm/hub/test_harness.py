"""lm-evaluation-harness on an exported folder: the task and the command that the page shows, and the numbers of our own model."""

import importlib.util
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.lm.hub.folder import layout_for, write_generation, write_model
from stages.lm.hub.settings import ExportSettings
from stages.lm.hub.tokenizer import write_tokenizer
from stages.lm.models import registry
from tests.lm.hub.folders import randomised
from tests.lm.hub.test_tokenizers import KINDS, TEXTS, saved
from tests.lm.models.variants import settings

PAGE = Path(__file__).parents[3] / "stages" / "lm" / "hub" / "README.md"
CONTEXT = 256


def blocks() -> list[str]:
    """What the page's section shows: the task's file, and the command."""
    section = PAGE.read_text(encoding="utf-8").partition("## lm-evaluation-harness")[2]
    return re.findall(r"^```\w*\n(.*?)^```", section, re.DOTALL | re.MULTILINE)


def exported(folder: Path, **changes: Any) -> tuple[Any, Any]:
    """A model and its tokenizer, written for transformers into folder/theirs."""
    tokenizer = saved(folder, KINDS["gpt2"])
    described = settings(context_length=CONTEXT, **changes)
    model = randomised(registry.build(described, tokenizer.vocab_size, 0))
    description = registry.ModelDescription(
        family="transformer", settings=described, vocab_size=tokenizer.vocab_size, end_of_text=tokenizer.end_of_text,
        tokenizer="that one", tokens="those",
    )  # fmt: skip
    registry.save(model, description, folder / "ours")
    write_model(folder / "theirs", folder / "ours", description, layout_for(described, "auto"))
    write_tokenizer(folder / "theirs", folder / "ours", CONTEXT, "language model")
    write_generation(folder / "theirs", ExportSettings(), description)
    return model, tokenizer


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="the package lm_eval is not installed")
@pytest.mark.parametrize("changes", [{}, {"norm": "layer", "position": "learned"}])
def test_the_harness_finds_our_bits_per_byte(changes: dict[str, Any], tmp_path: Path) -> None:
    model, tokenizer = exported(tmp_path, **changes)
    task, command = blocks()
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "stories.yaml").write_text(task, encoding="utf-8")
    lines = [json.dumps({"text": text}) for text in TEXTS[:5]]
    (tmp_path / "tasks" / "stories.jsonl").write_text("\n".join(lines), encoding="utf-8")
    shell = command.strip().replace("results/export/gpt-…", "theirs") + " --output_path found"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "HF_HOME": str(tmp_path / "home")}
    done = subprocess.run(shell, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(next((tmp_path / "found").rglob("results*.json")).read_text(encoding="utf-8"))
    ids = [torch.tensor([[tokenizer.end_of_text, *tokenizer.encode(text)]]) for text in TEXTS[:5]]
    nats = -sum(model.token_log_probs(one).sum().item() for one in ids)
    bits = nats / math.log(2) / sum(len(text.encode()) for text in TEXTS[:5])
    assert results["results"]["stories"]["bits_per_byte,none"] == pytest.approx(bits, rel=1e-5)
