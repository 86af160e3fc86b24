"""Claims: what a finished run writes down, and how each way of not holding is found and told."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.lm import artifacts, children
from stages.lm.children import Ended
from stages.lm.errors import UserError
from stages.lm.lineage.graph import Made
from tests.forging import flipped, forge
from tests.pipeline import TINY, Project
from workflow.claims.audit import again, audit, measured_again, stretches_of, taken_again
from workflow.claims.claim import Claim, as_text, claim_of, read_claim
from workflow.claims.verdicts import Row, check, judge_of
from workflow.plan import build
from workflow.reading import read


@pytest.fixture
def project(finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of the finished tiny run."""
    made = [folder.name for folder in (finished.folder / "results").iterdir()]
    copied = finished.copy(tmp_path / "project", *made)
    monkeypatch.chdir(copied.folder)
    return copied


@pytest.fixture
def claim(project: Project) -> dict[str, Any]:
    """What it claims, as a file holds it."""
    config = yaml.safe_load((project.folder / TINY).read_text())
    return dict(yaml.safe_load(as_text(claim_of(config))))


def failed(claim: dict[str, Any]) -> list[Row]:
    """What does not hold of a claim here."""
    file = Path("claim.yaml")
    file.write_text(yaml.safe_dump(claim))
    return [row for row in check(read_claim(file)) if row.verdict not in ("equal", "holds")]


def one(stage: str, name: str) -> Path:
    (folder,) = Path("results").glob(f"{stage}/{name}-*")
    return folder


def audited(claim: dict[str, Any]) -> list[Row]:
    """What an audit tells of a claim beside what a check does."""
    file = Path("claim.yaml")
    file.write_text(yaml.safe_dump(claim))
    return [row for row in audit(read_claim(file), stretches=2, seed=0) if row.name.endswith("again")]


def checkpoints(claim: dict[str, Any]) -> Path:
    """The checkpoints of the claimed transformer, as a run with milestones would have left them."""
    node = build(read(claim["config"])).experiments["gpt"]["train"]
    state = Path("state/train") / node.folder
    again(node, [*node.command(Path("elsewhere")), "--state", str(state), "--milestone-every", "10"])
    return state


@pytest.mark.slow
def test_an_audit_measures_again_and_trains_stretches_again(claim: dict[str, Any]) -> None:
    found = {row.name: row for row in audited(claim)}
    assert found["gpt bits_per_byte, again"].verdict == "equal"
    assert [name for name in found if "step" in name] == ["gpt, steps 1 to 5, again", "gpt, step 30, again"]
    unseen = found.pop("gpt, step 30, again")
    assert (unseen.verdict, unseen.reason.partition(";")[0]) == ("missing", "no checkpoint came with the claim that leads to it")
    assert {row.verdict for row in found.values()} == {"equal"}

    trained = one("train", "gpt")
    forge(trained, "model.safetensors", flipped)
    claim["artifacts"][f"train/{trained.name}"]["content"] = Made.at(trained).content
    found = {row.name: row for row in audited(claim) if row.verdict == "differs"}
    assert found["gpt bits_per_byte, again"].reason == "the model that was claimed does not reach it"


@pytest.mark.slow
def test_stretches_lead_from_checkpoint_to_checkpoint_and_to_the_end(claim: dict[str, Any]) -> None:
    node = build(read(claim["config"])).experiments["gpt"]["train"]
    state = Path("state/train") / node.folder
    again(node, [*node.command(Path("elsewhere")), "--state", str(state), "--milestone-every", "10"])
    _, middle, last = stretches_of(node)
    judge = judge_of(Claim.model_validate(claim))
    assert [taken_again("gpt", node, stretch, 1, judge).verdict for stretch in (middle, last)] == ["equal", "equal"]

    forge(node.path, "model.safetensors", flipped)
    claim["artifacts"][node.id]["content"] = Made.at(node.path).content
    judge = judge_of(Claim.model_validate(claim))
    assert taken_again("gpt", node, last, 1, judge).reason == "the training ends in another model"

    never = state / "step-000000020/state.safetensors"
    never.write_bytes(flipped(never.read_bytes()))
    assert (
        taken_again("gpt", node, middle, 1, judge).reason == "the training that was claimed does not come to its next checkpoint"
    )


@pytest.mark.slow
def test_on_another_machine_an_audit_goes_by_intervals(claim: dict[str, Any]) -> None:
    elsewhere(claim)
    node = build(read(claim["config"])).experiments["trigram"]["evaluate"]
    measures = claim["results"]["trigram"]
    measures["bits_per_byte"] = {key: value * 1.0001 for key, value in measures["bits_per_byte"].items()}
    measures["perplexity"] |= {"value": 1.0, "low": 0.0, "high": 99.0}
    found = {row.name: row.verdict for row in measured_again("trigram", node, judge_of(Claim.model_validate(claim)))}
    assert found["trigram bits_per_byte, again"] == "holds"
    assert found["trigram perplexity, again"] == "differs"


def test_an_audit_takes_steps_by_as_many_processes_as_were_claimed(
    claim: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    claim["config"]["execution"] = {"jobs": {"train": {"processes": 2}}}
    commands: list[str] = []
    monkeypatch.setattr(children, "run", lambda command, _settings: commands.append(" ".join(command)) or Ended(2, "error: no"))
    rows = [row for row in audited(claim) if row.verdict == "differs"]
    assert {row.reason.rpartition(": ")[2] for row in rows} == {"no"}
    (train,) = (command for command in commands if "stages.train" in command)
    assert " -m workflow.launch --processes 2 -- python -m stages.train --config - --tokens results/tokenize/" in train
    assert not any("workflow.launch" in command for command in commands if "stages.evaluate" in command)


@pytest.mark.slow
def test_an_audit_finds_a_number_that_was_rounded_up_everywhere(claim: dict[str, Any]) -> None:
    evaluated = one("evaluate", "trigram")
    forge(evaluated, "stats.json", lambda data: data.replace(b'"low": ', b'"low": 0.0000001 , "_": ', 1))
    claim["artifacts"][f"evaluate/{evaluated.name}"]["content"] = Made.at(evaluated).content
    name, measure = next((name, value) for name, value in claim["results"]["trigram"].items())
    measure["low"] = 0.0000001
    assert f"trigram {name}, again" in [row.name for row in audited(claim) if row.verdict == "differs"]


@pytest.mark.slow
def test_an_audit_finds_metrics_that_were_made_up(claim: dict[str, Any]) -> None:
    trained = one("train", "gpt")
    forge(trained, "metrics.jsonl", lambda data: data.replace(b'"loss": ', b'"loss": 0.1, "_": ', 1))
    (row,) = (row for row in audited(claim) if row.name == "gpt, steps 1 to 5, again")
    assert row.reason == "the training that was claimed does not go on like this"


def test_a_claim_holds_where_it_was_made(claim: dict[str, Any]) -> None:
    assert failed(claim) == []
    assert claim["results"]["gpt"]["bits_per_byte"]["low"] < claim["results"]["gpt"]["bits_per_byte"]["value"]
    assert next(iter(claim["artifacts"])).startswith("corpus/")
    assert list(claim["artifacts"])[-1].startswith("report/")
    assert len(yaml.safe_dump(claim)) < 10_000


def test_one_weight(claim: dict[str, Any]) -> None:
    weights = one("train", "gpt") / "model.safetensors"
    weights.write_bytes(flipped(weights.read_bytes()))
    (row,) = failed(claim)
    assert (row.name, row.verdict) == (f"train/{weights.parent.name}", "altered")
    assert "model.safetensors has another sha256 than its manifest" in row.reason


def test_one_weight_and_its_manifest(claim: dict[str, Any]) -> None:
    forge(one("train", "gpt"), "model.safetensors", flipped)
    first, *_ = failed(claim)
    assert (first.name, first.verdict) == (f"train/{one('train', 'gpt').name}", "differs")
    assert "nothing that is recorded" in first.reason


def test_one_token_of_the_corpus(claim: dict[str, Any]) -> None:
    corpus = one("corpus", "toy")
    forge(corpus, "train-00000.parquet", flipped)
    first, *_ = failed(claim)
    assert first.name == f"corpus/{corpus.name}"


def test_another_text_of_the_same_name(claim: dict[str, Any]) -> None:
    claim["files"] |= {"data/a.txt": "0" * 64}
    corpus = one("corpus", "toy")
    entry = {"name": "data/a.txt", "bytes": 1, "sha256": "1" * 64}
    forge(corpus, "stats.json", lambda data: json.dumps(json.loads(data) | {"files": [entry]}).encode())
    assert ("data/a.txt", "it is another one than was claimed") in [(row.name, row.reason) for row in failed(claim)]


def test_a_result_that_was_rounded_up(claim: dict[str, Any]) -> None:
    claim["results"]["gpt"]["bits_per_byte"]["value"] -= 0.01
    (row,) = failed(claim)
    assert (row.name, row.verdict) == ("gpt bits_per_byte", "altered")
    assert "the very artifact that was claimed holds another number" in row.reason


def test_a_result_that_was_never_measured(claim: dict[str, Any]) -> None:
    claim["results"]["gpt"]["accuracy"] = {"value": 1.0, "low": 0.9, "high": 1.0}
    (row,) = failed(claim)
    assert (row.name, row.verdict) == ("gpt accuracy", "missing")


@pytest.mark.parametrize("key", ["seed", "learning_rate"])
def test_another_setting(key: str, claim: dict[str, Any]) -> None:
    claim["config"]["experiments"]["gpt"]["training"][key] = 1
    first, *_ = failed(claim)
    assert first.verdict == "altered"
    assert "the claim's own config makes no such artifact" in first.reason


def test_another_hash(claim: dict[str, Any]) -> None:
    identity = next(name for name in claim["artifacts"] if name.startswith("train/gpt"))
    claim["artifacts"][identity]["content"] = "0" * 64
    (row,) = failed(claim)
    assert (row.name, row.verdict) == (identity, "differs")


def test_other_code_is_named(claim: dict[str, Any]) -> None:
    identity = next(name for name in claim["artifacts"] if name.startswith("train/gpt"))
    claim["artifacts"][identity] |= {"content": "0" * 64, "code": "0123456789ab"}
    (row,) = failed(claim)
    assert "instead of 0123456789ab" in row.reason


def test_what_is_not_made(claim: dict[str, Any]) -> None:
    (one("decode", "gpt") / "manifest.json").unlink()
    assert [row.verdict for row in failed(claim)] == ["missing"]


def elsewhere(claim: dict[str, Any]) -> None:
    """The claim says that it was made on another kind of machine."""
    for content in claim["artifacts"].values():
        content["machine"] = "another processor, torch 1.0"


def test_on_another_machine_results_hold_within_their_intervals(claim: dict[str, Any]) -> None:
    elsewhere(claim)
    forge(one("train", "gpt"), "model.safetensors", flipped)

    def off(data: bytes) -> bytes:
        stats = json.loads(data)
        stats["bits_per_byte"]["value"] *= 1.0001
        return json.dumps(stats).encode()

    forge(one("evaluate", "gpt"), "stats.json", off)
    assert failed(claim) == []
    claim["results"]["gpt"]["bits_per_byte"] |= {"low": 0.1, "high": 0.2}
    (row,) = failed(claim)
    assert row.reason.startswith("not within")


def test_another_machine_excuses_no_other_result(claim: dict[str, Any]) -> None:
    """An interval that is wide enough for anything, of the claimant's own making."""
    elsewhere(claim)
    evaluate = next(name for name in claim["artifacts"] if name.startswith("evaluate/gpt"))
    claim["artifacts"][evaluate]["content"] = "0" * 64
    claim["results"]["gpt"]["bits_per_byte"] = {"value": 0.1, "low": 0.0, "high": 9.0}
    (row,) = failed(claim)
    assert (row.name, row.verdict) == ("gpt bits_per_byte", "differs")


@pytest.mark.parametrize("stage", ["corpus", "bpe", "tokenize"])
def test_another_machine_excuses_no_other_text(stage: str, claim: dict[str, Any]) -> None:
    elsewhere(claim)
    identity = next(name for name in claim["artifacts"] if name.startswith(f"{stage}/"))
    claim["artifacts"][identity]["content"] = "0" * 64
    assert [row.name for row in failed(claim)] == [identity]


def test_a_claim_of_nothing_is_not_shown_to_hold(claim: dict[str, Any]) -> None:
    nothing = claim | {"files": {}, "artifacts": {}, "results": {}}
    assert {row.reason for row in failed(nothing)} == {"the claim leaves it out"}
    shutil.rmtree("results")
    assert {row.reason for row in failed(nothing)} == {"it is neither claimed nor made here"}
    assert {row.name.partition("/")[0] for row in failed(nothing)} >= {"corpus", "train", "evaluate", "report"}


def test_a_manifest_that_keeps_the_content_of_other_files(claim: dict[str, Any]) -> None:
    trained = one("train", "gpt")
    content = Made.at(trained).content
    forge(trained, "model.safetensors", flipped)
    manifest = artifacts.load_manifest(trained) | {"content": content}
    (trained / "manifest.json").write_text(json.dumps(manifest))
    (row,) = failed(claim)
    assert (row.name, row.verdict) == (f"train/{trained.name}", "altered")
    assert "another content than the hashes of its files give" in row.reason


def test_what_a_claim_leaves_out_counts_against_it(claim: dict[str, Any]) -> None:
    del claim["results"]["gpt"]
    identity = next(name for name in claim["artifacts"] if name.startswith("evaluate/gpt"))
    del claim["artifacts"][identity]
    found = failed(claim)
    assert {row.reason for row in found} == {"the claim leaves it out"}
    assert {row.name for row in found} >= {identity, "gpt bits_per_byte"}


def test_how_jobs_are_run_is_not_for_a_claim_to_say(claim: dict[str, Any]) -> None:
    claim["config"]["execution"] = {
        "wandb": "online",
        "container": "x.sif",
        "jobs": {"all": {"options": "; touch x", "nodes": 1}},
    }
    claim["config"]["experiments"]["gpt"]["job"] = {"options": "; touch x"}
    Path("claim.yaml").write_text(yaml.safe_dump(claim))
    read = read_claim(Path("claim.yaml")).config
    assert read["execution"] == {"jobs": {"all": {"nodes": 1}}}
    assert read["experiments"]["gpt"]["job"] == {}


@pytest.mark.parametrize("file", ["/tmp/x.py", "../x.py"])
def test_a_claim_runs_no_code_from_elsewhere(file: str, claim: dict[str, Any]) -> None:
    claim["config"]["experiments"]["gpt"]["model"] = {"family": "huggingface", "file": file}
    with pytest.raises(UserError, match="code of this checkout only"):
        failed(claim)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"claim": 2}, "update it to read this one"),
        ({"claim": "x"}, "which `snakemake claim` writes"),
        ({"results": 3}, "results"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_file_that_is_no_claim_is_refused(changes: dict[str, Any], message: str, claim: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=message):
        failed(claim | changes)


def test_a_damaged_run_claims_nothing(project: Project) -> None:
    (one("decode", "gpt") / "samples.txt").write_text("better")
    with pytest.raises(UserError, match="is damaged"):
        claim_of(yaml.safe_load((project.folder / TINY).read_text()))


def test_a_run_that_is_not_finished_claims_nothing(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="is not finished; run it first"):
        claim_of(yaml.safe_load((root / TINY).read_text()))


def test_claims_are_small_and_complete() -> None:
    assert set(Claim.model_fields) == {"claim", "config", "files", "artifacts", "results", "costs"}


@pytest.mark.slow
def test_the_dag_writes_a_claim_and_tries_it(project: Project) -> None:
    project.run("snakemake", "claim", "--cores", "2", "--configfile", TINY)
    (project.folder / "claims/tiny.yaml").rename(project.folder / "theirs.yaml")
    held = project.run("snakemake", "reproduce", "--cores", "2", "--config", "claim=theirs.yaml")
    assert "the claim holds" in held.stdout
    (one("decode", "gpt") / "manifest.json").unlink()
    again = project.run("snakemake", "reproduce", "--cores", "2", "--config", "claim=theirs.yaml")
    assert "the claim holds" in again.stdout
    refused = project.run("snakemake", "reproduce", "--cores", "2", check=False)
    assert refused.returncode == 2
    assert "takes a claim" in refused.stderr
