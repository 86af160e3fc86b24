"""What a run leaves to the machine: micro-batches by memory, compilation by time."""

import math
from pathlib import Path
from typing import Any

import pytest

from stages.lm import artifacts
from stages.lm.accounting import choices, compiling
from stages.lm.accounting.batches import Lengths
from stages.lm.accounting.compiling import USUAL_SECONDS, Speeds, pays
from stages.lm.accounting.free_memory import host_memory
from stages.lm.accounting.memory import training_memory
from stages.lm.errors import UserError
from stages.lm.settings import parse
from stages.lm.training.job import Job
from stages.lm.training.settings import TrainSettings
from tests.counting_tokens import VOCAB, write_pairs, write_tokens

GPT = {"family": "transformer", "layers": 1, "heads": 2, "d_model": 16, "context_length": 16}
TRANSLATOR = GPT | {"family": "transformer-seq2seq"}


def settings(model: dict[str, Any] = GPT, **training: Any) -> TrainSettings:
    usual = {"batch_size": 10, "threads": 1, "device": "cpu"}
    return parse(TrainSettings, {"model": model, "training": usual | training}, "test")


@pytest.fixture(params=["windows", "pairs"])
def job(request: pytest.FixtureRequest, tmp_path: Path) -> Job:
    model, write = {"windows": (GPT, write_tokens), "pairs": (TRANSLATOR, write_pairs)}[request.param]
    tokens = artifacts.read(write(tmp_path / "tokens"), "tokenize")
    return Job.of(settings(model, micro_batch_size="auto"), tokens, "run", tmp_path / "state")


@pytest.mark.parametrize("share", [0.2, 0.6, 1.0])
def test_micro_batches_fit_are_even_and_fewer_would_not_fit(job: Job, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    train = job.source.split("train")
    lengths = Lengths.longest(train, 10) if job.settings.model.task == "translation" else None

    def peak(size: int) -> int:
        training = job.settings.with_training({"micro_batch_size": size}).training
        return training_memory(job.settings.model, training, VOCAB, lengths=lengths)["total"]

    limit = int(peak(1) + share * (peak(10) - peak(1)))
    monkeypatch.setattr(choices, "spare_memory", lambda _: limit)
    size = choices.choose(job)["micro_batch_size"]
    parts = math.ceil(10 / size)
    assert peak(size) <= limit
    assert size == math.ceil(10 / parts)
    assert (parts == 1) == (share == 1.0)
    assert parts == 1 or peak(math.ceil(10 / (parts - 1))) > limit


def test_where_nothing_fits_the_run_ends_with_a_line(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices, "spare_memory", lambda _: 20_000)
    with pytest.raises(UserError, match=r"even one sequence at a time needs .* more than the 0.02 MB that are free; set"):
        choices.choose(job)


@pytest.mark.parametrize(
    ("own", "free"), [("max", 8000 * 1024), (str(7_000_000), 6_000_000), (str(10**12), 8000 * 1024), ("500", 0)]
)
def test_a_control_group_may_leave_less_than_the_host_has(tmp_path: Path, own: str, free: int) -> None:
    group = tmp_path / "sys/fs/cgroup/job/step"
    group.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("4:memory:/elsewhere\n0::/job/step\n")
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    8000 kB\n")
    assert host_memory(tmp_path) == 8000 * 1024
    for name, text in (("max", own), ("current", "1500000"), ("stat", "file 9\ninactive_file 500000\n")):
        (group.parent / f"memory.{name}").write_text(text)
    assert host_memory(tmp_path) == free


def test_compilation_pays_where_the_seconds_that_it_saves_are_more_than_it_takes() -> None:
    speeds = Speeds(eager=1.0, compiled=0.5, compiling=40.0)
    assert [speeds.pays(steps) for steps in (79, 80, 81)] == [False, False, True]
    assert not Speeds(eager=1.0).pays(10**6)
    assert not Speeds(eager=1.0, compiled=1.1, compiling=0.0).pays(10**6)


def test_steps_are_measured_once_for_all_runs_of_one_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, float]] = []

    def measure(given: TrainSettings, _: int, __: object, usual: float) -> Speeds:
        asked.append((given.training.steps, usual))
        return Speeds(1.0, 0.5, 40.0) if given.training.steps > usual else Speeds(1.0)

    monkeypatch.setattr(compiling, "measure", measure)

    def ask(**training: Any) -> bool:
        return pays(settings(**training), VOCAB, kept=tmp_path / "compile")

    assert not ask(steps=20)  # shorter than to compile takes
    assert ask(steps=100)
    assert asked == [(20, USUAL_SECONDS), (100, USUAL_SECONDS)]
    assert not ask(steps=70, learning_rate=1e-2)
    assert ask(steps=90, seed=3)
    assert len(asked) == 2
    ask(steps=35, batch_size=7)  # of another shape; by now it is known what to compile takes
    assert asked[2:] == [(35, 40.0)]


def test_where_nothing_can_be_compiled_the_reason_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    asked: list[TrainSettings] = []

    def measure(given: TrainSettings, *_: object) -> Speeds:
        asked.append(given)
        return Speeds(1.0, failed="no C++ compiler")

    monkeypatch.setattr(compiling, "measure", measure)
    with caplog.at_level("INFO", "stagecraft"):
        assert not any(pays(settings(steps=1000 * n), VOCAB, kept=tmp_path) for n in (1, 2))
    assert len(asked) == 1
    assert "that fails here: no C++ compiler" in caplog.text
