"""What settings leave to the machine is chosen once in the life of a run."""

import json
from pathlib import Path
from typing import Any

import pytest

import stages.train
from stages.lm import artifacts
from stages.lm.artifacts import Artifact
from stages.lm.errors import Stopped
from stages.lm.settings import parse
from stages.lm.training import commands
from stages.lm.training.fitting import fit
from stages.lm.training.job import Job
from stages.lm.training.loop import Conduct
from stages.lm.training.metrics import METRICS
from stages.lm.training.replay import replay_step
from stages.lm.training.settings import TrainSettings
from tests.counting_tokens import write_tokens

MODEL = {"family": "transformer", "layers": 1, "heads": 2, "d_model": 16, "context_length": 16}
TRAINING = {"steps": 6, "batch_size": 5, "log_every": 1, "validation_windows": 2, "threads": 1, "device": "cpu"}
AUTO = {"micro_batch_size": "auto", "compile": "auto"}
CHOSEN = {"micro_batch_size": 3, "compile": False}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return artifacts.read(write_tokens(tmp_path_factory.mktemp("tokens") / "tiny"), "tokenize")


def job(folder: Path, tokens: Artifact, **training: Any) -> Job:
    settings = parse(TrainSettings, {"model": MODEL, "training": TRAINING | training}, "test")
    return Job.of(settings, tokens, "run", folder / "state")


def never(_: Job) -> dict[str, Any]:
    raise AssertionError("asked to choose")


def test_a_run_that_was_stopped_keeps_what_it_chose(tmp_path: Path, tokens: Artifact) -> None:
    stopped, resumed = (job(tmp_path, tokens, **AUTO) for _ in range(2))
    stopped.settle(lambda _: CHOSEN)
    stopped.conduct = Conduct(time_limit=0)
    with pytest.raises(Stopped):
        fit(stopped)
    resumed.settle(never)
    said = fit(job(tmp_path / "said", tokens, **CHOSEN))
    found = fit(resumed)
    assert found.stats.pop("chosen") == CHOSEN
    assert (found.stats, found.logs[METRICS]) == (said.stats, said.logs[METRICS])


def test_only_what_is_left_open_is_chosen_and_by_every_run_for_itself(tmp_path: Path, tokens: Artifact) -> None:
    job(tmp_path, tokens).settle(never)
    one, other = job(tmp_path, tokens, compile="auto"), job(tmp_path, tokens, compile="auto", seed=1)
    for this, chosen in ((one, True), (other, False)):
        assert this.settings.left_open == ["compile"]
        this.settle(lambda _, chosen=chosen: {"compile": chosen})
        assert this.settings.training.compile is chosen
        assert this.settings.left_open == []


def test_a_replay_takes_what_the_run_chose(tmp_path: Path, tokens: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = job(tmp_path, tokens, **AUTO)
    asked = trained.settings.resolved()
    trained.settle(lambda _: CHOSEN)
    with artifacts.writing(tmp_path / "run", "train", asked, {"tokens": tokens}) as draft:
        stages.train.write(draft, fit(trained), trained, tokens, None)
    sizes: list[Any] = []

    def seen(run: Any, step: int, train: Any) -> Any:
        sizes.append(run.settings.micro_batch_size)
        return replay_step(run, step, train)

    monkeypatch.setattr(commands, "replay_step", seen)
    run, out = tmp_path / "run", tmp_path / "step.json"
    commands.replay(["--run", str(run), "--tokens", str(tokens.path), "--step", "4", "--json", str(out)])
    lines = [json.loads(line) for line in (run / METRICS).read_text().splitlines()]
    assert sizes == [3]
    assert json.loads(out.read_text())["loss"] == next(line["loss"] for line in lines if line["step"] == 4)
    assert "- micro batch size: 3, chosen when the run began" in (run / "README.md").read_text()
