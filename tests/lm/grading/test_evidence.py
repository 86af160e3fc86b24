"""What is looked at without running it: trained models, sweeps, claims."""

import json
import random
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from stages.lm import artifacts
from stages.lm.grading.case import Case
from stages.lm.grading.evidence.bounded import bounded
from stages.lm.grading.evidence.claim import claimed
from stages.lm.grading.evidence.sweep import swept
from stages.lm.grading.evidence.trained import rescored
from stages.lm.grading.example import write_trained
from stages.lm.grading.rubric import Check, read_rubric
from tests.forging import forge
from tests.pipeline import TINY, Project

SWEEP = {
    "method": "grid",
    "metric": {"name": "validation_loss", "goal": "minimize"},
    "parameters": {"model.config.gate": {"values": ["none", "head"]}, "training.learning_rate": {"values": [1e-3, 1e-2]}},
}
TRIALS = "Name,State,model.config.gate,training.learning_rate,validation_loss\n" + "".join(
    f"run-{gate}-{rate},finished,{gate},{rate},2.5\n" for gate in ("none", "head") for rate in (0.001, 0.01)
)


@pytest.fixture(scope="module")
def entry(root: Path) -> Check:
    return read_rubric(root / "config/grading/project-1.2.yaml").checks["trained"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A submission with a trained model."""
    folder = tmp_path_factory.mktemp("trained")
    write_trained(folder)
    return folder


def change(folder: Path, **settings: object) -> None:
    """Other settings in place of those that were handed in."""
    file = folder / "trained/settings.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


@pytest.fixture
def submission(trained: Path, tmp_path: Path) -> Path:
    """A copy of it, and a complete sweep."""
    for file in (trained / "trained").iterdir():
        (tmp_path / "trained").mkdir(exist_ok=True)
        (tmp_path / "trained" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(SWEEP))
    (tmp_path / "trials.csv").write_text(TRIALS)
    (tmp_path / "panel.png").write_bytes(b"\x89PNG...")
    return tmp_path


def faults(found: list) -> list[str | None]:  # type: ignore[type-arg]
    return [case.fault for case in found]


def test_a_model_is_as_good_as_claimed(submission: Path, entry: Check) -> None:
    assert faults(rescored(submission, random.Random(1), entry)) == [None, None, None]


def test_a_claim_that_is_too_good(submission: Path, entry: Check) -> None:
    change(submission, bits_per_byte=0.2)
    first, *others = faults(rescored(submission, random.Random(1), entry))
    assert first is not None
    assert first.startswith("0.200 bits per byte are claimed, but it has 0.")
    assert others == [None, None]


def test_weights_that_learned_nothing(submission: Path, entry: Check) -> None:
    file = submission / "trained/model.safetensors"
    save_file({name: torch.randn_like(weight) for name, weight in load_file(file).items()}, file)
    assert None not in faults(rescored(submission, random.Random(1), entry))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("settings.json", "{}", "cannot be measured: trained/settings.json.context_length: this key is required"),
        ("settings.json", "[" * 5000, "cannot be measured: maximum recursion depth exceeded"),
        ("model.safetensors", "junk", "cannot be measured: Error while deserializing header"),
        ("vocab.json", "{}", "cannot be measured: "),
        ("model.safetensors", None, "cannot be measured: No such file or directory: trained/model.safetensors"),
    ],
)
def test_what_is_no_model(file: str, content: str | None, message: str, submission: Path, entry: Check) -> None:
    (submission / "trained" / file).unlink()
    if content is not None:
        (submission / "trained" / file).write_text(content)
    found = faults(rescored(submission, random.Random(1), entry))
    assert all((fault or "").startswith(message) for fault in found), found


def test_a_sweep_that_was_run(submission: Path, entry: Check) -> None:
    assert faults(swept(submission, random.Random(0), entry)) == [None, None, None]


@pytest.mark.parametrize(
    ("file", "content", "place", "message"),
    [
        ("sweep.yaml", "parameters: 3", 0, "method: this key is required; parameters: input should be"),
        (
            "trials.csv",
            TRIALS.replace("finished", "crashed").replace("2.5", ""),
            1,
            "0 of 4 trials have a result; at least 4 should",
        ),
        ("trials.csv", TRIALS.replace("training.learning_rate", "rate"), 1, "the trials do not tell training.learning_rate"),
        ("trials.csv", TRIALS.replace("0.01", "0.001"), 1, "the trials try only 2 different settings; at least 4 should"),
        ("trials.csv", "a,b\n1,2\n", 1, "trials.csv: has no column for a loss"),
        ("trials.csv", None, 1, "there is neither a folder sweep/ nor a file trials.csv"),
        ("panel.png", "x", 2, "panel.png is no such picture"),
        ("panel.png", None, 2, "there is neither a report.html that shows a sweep nor one of panel.png"),
    ],
)
def test_a_sweep_that_was_not(file: str, content: str | None, place: int, message: str, submission: Path, entry: Check) -> None:
    (submission / file).unlink()
    if content is not None:
        (submission / file).write_text(content)
    found = faults(swept(submission, random.Random(0), entry))
    assert (found[place] or "").startswith(message), found


def test_there_is_no_claim(tmp_path: Path, entry: Check) -> None:
    assert faults(claimed(tmp_path, random.Random(0), entry)) == [
        "there is no claim.yaml; `snakemake claim` writes one of a finished run"
    ]


def plant(folder: Path) -> None:
    """Code that must not run, under the names of what is imported."""
    for package in ("workflow/claims", "workflow", "yaml", "stages", "stages/evaluate"):
        (folder / package).mkdir(parents=True, exist_ok=True)
        for name in ("__init__.py", "__main__.py"):
            (folder / package / name).write_text(f"open({str(folder / 'ran')!r}, 'w')\n")


def lowered(data: bytes) -> bytes:
    """Evaluated statistics with an interval that begins a little lower."""
    stats = json.loads(data)
    stats["bits_per_byte"]["low"] -= 1e-6
    return json.dumps(stats).encode()


@pytest.mark.slow
def test_what_a_run_claims_is_measured_again(finished: Project, tmp_path: Path, entry: Check) -> None:
    handed_in = finished.copy(tmp_path / "run", *(folder.name for folder in (finished.folder / "results").iterdir()))
    handed_in.run("snakemake", "claim", "--cores", "2", "--configfile", TINY)
    shutil.rmtree(tmp_path / "run/stages")
    shutil.rmtree(tmp_path / "run/workflow")
    plant(tmp_path / "run")
    written = tmp_path / "run/claim.yaml"
    (tmp_path / "run/claims/tiny.yaml").rename(written)
    assert faults(claimed(tmp_path / "run", random.Random(0), entry)) == [None]
    assert not (tmp_path / "run/ran").exists()

    (evaluated,) = (tmp_path / "run/results/evaluate").glob("gpt-*")
    claim = yaml.safe_load(written.read_text())
    claim["results"]["gpt"]["bits_per_byte"]["low"] -= 1e-6
    forge(evaluated, "stats.json", lowered)
    claim["artifacts"][f"evaluate/{evaluated.name}"]["content"] = artifacts.load_manifest(evaluated)["content"]
    written.write_text(yaml.safe_dump(claim))
    (fault,) = faults(claimed(tmp_path / "run", random.Random(0), entry))
    assert "gpt bits_per_byte, again: the model that was claimed does not reach it" in (fault or "")


def test_a_claim_runs_no_code_of_a_submission(tmp_path: Path, entry: Check) -> None:
    plant(tmp_path)
    (tmp_path / "claim.yaml").write_text("claim: 2\n")
    (fault,) = faults(claimed(tmp_path, random.Random(0), entry))
    assert "reads claims of version 1" in (fault or "")
    assert not (tmp_path / "ran").exists()


def test_looking_waits_for_no_threads_that_it_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    def look() -> list[Case]:
        return [Case("a", f"{torch.ones(1 << 20).exp().numel()}")]

    monkeypatch.setattr("stages.lm.grading.evidence.bounded.SECONDS", 20)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    look()  # in a pool of threads, which a fork does not take along
    found = bounded("a", look, 6144)
    torch.set_num_threads(before)
    assert found == [Case("a", str(1 << 20))]


def test_what_asks_for_too_much_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def look() -> list[Case]:
        return [Case("a", str(len(bytes(4 << 30))))]

    assert bounded("sweep", look, 3000) == [Case("sweep", "cannot be looked at within 300 s and 3000 MiB")]
    assert bounded("sweep", lambda: [Case("a"), Case("b", "c")], 3000) == [Case("a"), Case("b", "c")]
    monkeypatch.setattr("stages.lm.grading.evidence.bounded.SECONDS", 1)
    assert bounded("sweep", lambda: [Case("a") for _ in iter(int, 1)], 3000)[0].fault is not None
