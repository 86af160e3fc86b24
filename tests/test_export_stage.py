"""The stage export as it is run."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from stages.lm import artifacts
from stages.lm.bpe.files import load_tokenizer
from stages.lm.models import registry
from tests.stage_runs import run
from tests.toy_line import Line


@pytest.fixture(scope="module")
def evaluation(toy_line: Line, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("evaluated") / "evaluation"
    run("evaluate", {}, out, model=toy_line.transformer, tokens=toy_line.tokens, corpus=toy_line.corpus)
    return out


@pytest.mark.parametrize(("layout", "module"), [("auto", "transformers.models.llama"), ("custom", "transformers_modules")])
def test_a_folder_that_transformers_loads(
    toy_line: Line, evaluation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str, module: str
) -> None:
    import transformers.dynamic_module_utils
    from transformers import AutoModelForCausalLM, AutoTokenizer

    monkeypatch.setattr(transformers.dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    inputs = {"model": toy_line.transformer, "tokenizer": toy_line.tokenizer, "evaluation": evaluation}
    run("export", {"layout": layout, "top_p": 0.9}, tmp_path / layout, **inputs)
    folder = artifacts.read(tmp_path / layout, "export").path
    theirs, ours = (
        AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True).eval(),
        registry.load(toy_line.transformer),
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = "<|endoftext|>Once upon a time there was"
    ids = load_tokenizer(toy_line.tokenizer).encode(text)
    assert tokenizer(text)["input_ids"] == ids
    assert type(theirs).__module__.startswith(module)
    found = theirs(torch.tensor([ids])).logits
    torch.testing.assert_close(found, ours(torch.tensor([ids])), rtol=0, atol=1e-5)  # type: ignore[operator]
    generation = theirs.generation_config
    assert (generation.do_sample, generation.top_p, generation.max_length, generation.eos_token_id) == (True, 0.9, 32, ids[0])


def test_the_card_tells_what_the_manifests_say(toy_line: Line, evaluation: Path, tmp_path: Path) -> None:
    run("export", {}, tmp_path / "toy", model=toy_line.transformer, tokenizer=toy_line.tokenizer, evaluation=evaluation)
    card = (tmp_path / "toy" / "README.md").read_text(encoding="utf-8")
    _, front, body = card.split("---\n", 2)
    results = json.loads((evaluation / "stats.json").read_text())
    (entry,) = yaml.safe_load(front)["model-index"]
    assert entry["name"] == "toy"
    assert entry["results"][0]["dataset"] == {"name": "corpus", "type": "corpus", "split": results["split"]}
    assert entry["results"][0]["metrics"][0] == {"type": "bits_per_byte", "value": results["bits_per_byte"]["value"]}
    for folder in (toy_line.transformer, toy_line.tokenizer, toy_line.tokens, toy_line.corpus):
        assert f"| `{artifacts.load_manifest(folder)['content'][:12]}` |" in body
    assert f"{results['perplexity']['value']:.4f} [" in body
    assert "| `steps` | `4` |" in body


def test_what_cannot_be_exported_is_refused(toy_line: Line, evaluation: Path, tmp_path: Path) -> None:
    given = {"tokenizer": toy_line.tokenizer, "evaluation": evaluation}
    said = run("export", {}, tmp_path / "out", code=2, model=toy_line.trigram, **given)
    assert f"is no evaluation of {toy_line.trigram} as it is, but of train/transformer with the content" in said
    manifest = artifacts.load_manifest(evaluation)
    manifest["inputs"]["model"]["content"] = "of another run with the same settings"
    shutil.copytree(evaluation, tmp_path / "same settings")
    (tmp_path / "same settings" / artifacts.MANIFEST).write_text(json.dumps(manifest))
    stale = given | {"evaluation": tmp_path / "same settings"}
    said = run("export", {}, tmp_path / "out", code=2, model=toy_line.transformer, **stale)
    assert "but of train/transformer with the content of another" in said
    run("evaluate", {}, tmp_path / "other", model=toy_line.trigram, tokens=toy_line.tokens, corpus=toy_line.corpus)
    said = run("export", {}, tmp_path / "out", code=2, model=toy_line.trigram, **given | {"evaluation": tmp_path / "other"})
    assert "no model of transformers computes what this one of the family ngram does" in said
    run("bpe", {"kind": "character", "alphabet": "unicode"}, tmp_path / "points", corpus=toy_line.corpus)
    points = given | {"tokenizer": tmp_path / "points"}
    said = run("export", {}, tmp_path / "out", code=2, model=toy_line.transformer, **points)
    assert "transformers has no tokenizer of code points" in said
    assert not (tmp_path / "out").exists()
