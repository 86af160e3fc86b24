"""Project 1.3 as jobs of the DAG: a variant in a file, trained by Trainer, exported and swept."""

import json
from pathlib import Path

import pytest
import torch

from stages.lm import artifacts
from stages.lm.models import registry
from tests.pipeline import Project

pytestmark = pytest.mark.slow

CONFIG = "tests/configs/variants.yaml"


def test_from_a_file_to_a_swept_variant(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    project = Project(tmp_path / "variants")
    project.snakemake(config=CONFIG)
    results = project.folder / "results"
    (exported,) = results.glob("export/gated-*")
    trained = next(folder for folder in results.glob("train/gated-*") if folder_gate(folder) == "number")

    theirs = AutoModelForCausalLM.from_pretrained(exported, trust_remote_code=True).eval()
    ids = torch.tensor([AutoTokenizer.from_pretrained(exported)("<|endoftext|>Once upon a time")["input_ids"]])
    torch.testing.assert_close(theirs(ids).logits, registry.load(trained).eval()(ids))  # type: ignore[attr-defined]
    assert theirs.generation_config.eos_token_id == int(ids[0, 0])
    assert "its code is `gated_attention.py`" in (exported / "README.md").read_text()

    (sweep,) = results.glob("sweep/gates-*")
    table = json.loads((sweep / "stats.json").read_text())["trials"]
    assert [row["parameters"]["model.config.gate"] for row in table] == ["number", "none"]
    assert {row["state"] for row in table} == {"finished"}
    assert len(list(results.glob("train/*/manifest.json"))) == 2  # the first trial is the experiment
    (page,) = results.glob("report/*/report.html")
    assert "model.config.gate" in page.read_text()
    (evaluation,) = results.glob("evaluate/gated-*")
    assert 0 < artifacts.read(evaluation, "evaluate").json("stats.json")["bits_per_byte"]["value"] < 4  # of 8

    project.replace("config/variants/gated_attention.py", "class GatedAttention", "klass GatedAttention")
    done = project.snakemake(config=CONFIG, check=False)
    assert done.returncode == 2
    assert "experiments.gated.model: config/variants/gated_attention.py: is no Python: invalid syntax" in done.stderr


def folder_gate(folder: Path) -> str:
    return str(json.loads((folder / "config.json").read_text())["gate"])
