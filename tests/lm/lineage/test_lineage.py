"""What made a file, and why two runs differ, on small lines of artifacts."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stages.lm import artifacts
from stages.lm.artifacts import Draft
from stages.lm.errors import UserError
from stages.lm.lineage.commands import diff, why
from stages.lm.lineage.graph import Made, upwards


@contextmanager
def made(results: Path, stage: str, settings: dict[str, Any], **inputs: Path) -> Iterator[tuple[Draft, Path]]:
    """An artifact under the name that the plan would give it."""
    given = {role: artifacts.read(path, path.parent.name) for role, path in inputs.items()}
    digest = artifacts.digest(stage, settings, {role: artifact.digest for role, artifact in given.items()})
    out = results / stage / f"toy-{digest}"
    with artifacts.writing(out, stage, settings, given) as draft:
        draft.seed = 0
        yield draft, out


def line(results: Path, text: str = "text", rate: float = 0.1, loss: float = 2.0) -> Path:
    """A corpus, a model and what it scores; returns the last."""
    with made(results, "corpus", {"source": "file"}) as (draft, corpus):
        draft.write_json("stats.json", {"files": [{"name": "a.txt", "bytes": 4, "sha256": text}]})
    with made(results, "train", {"training": {"learning_rate": rate, "betas": [0.9, 0.95]}}, tokens=corpus) as (draft, train):
        draft.volatile = {"timing.json"}
        draft.write_json("stats.json", {"loss": loss})
        draft.write_json("timing.json", {"seconds": 1.0})
    with made(results, "evaluate", {"split": "test"}, model=train, corpus=corpus) as (draft, evaluate):
        draft.write_json("stats.json", {"results": [{"experiment": "toy", "bits": loss / 2}]})
    return evaluate


def test_an_artifact_goes_back_to_its_text(tmp_path: Path) -> None:
    evaluate = line(tmp_path)
    assert [one.stage for one in upwards(Made.at(evaluate))] == ["corpus", "train", "evaluate"]


def test_why_tells_what_a_file_goes_back_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate = line(tmp_path)
    assert why([str(evaluate / "stats.json")]) == 0
    said = capsys.readouterr().out
    sha256 = artifacts.load_manifest(evaluate)["outputs"]["stats.json"]["sha256"]
    assert f"sha256 {sha256}" in said
    assert "settings, inputs and code determine it" in said
    assert "made by stages.evaluate on 20" in said
    assert "    split: test" in said
    assert said.index("model: train/toy-") < said.index("    tokens: corpus/toy-") < said.index("  corpus: corpus/toy-")
    assert "(as above)" in said
    assert said.endswith("and these files\n  a.txt: 4 bytes, sha256 text\n")


def test_why_sees_what_was_altered_made_again_or_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate = line(tmp_path)
    (evaluate / "stats.json").write_text("{}")
    why([str(evaluate / "stats.json")])
    assert "ALTERED" in capsys.readouterr().out
    line(tmp_path / "other", loss=1.5)
    (train,) = (tmp_path / "train").iterdir()
    (other,) = (tmp_path / "other" / "train").iterdir()
    for file in ("stats.json", "manifest.json"):
        (other / file).replace(train / file)
    why([str(evaluate)])
    assert "MADE AGAIN since" in capsys.readouterr().out
    (train / "manifest.json").unlink()
    why([str(evaluate)])
    assert f"train/{train.name}: is not here any more" in capsys.readouterr().out


@pytest.mark.parametrize("file", ["missing", "stray.txt"])
def test_a_file_of_no_artifact_is_refused(file: str, tmp_path: Path) -> None:
    (tmp_path / "stray.txt").touch()
    with pytest.raises(UserError, match="name a"):
        why([str(tmp_path / file)])


def test_equal_runs_do_not_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert diff([str(line(tmp_path / "one")), str(line(tmp_path / "other"))]) == 0
    assert capsys.readouterr().out == "3 of 3 artifacts are equal byte for byte\n"


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"rate": 0.2}, "train toy, by its setting training.learning_rate"),
        ({"text": "another"}, "corpus toy, by its file a.txt"),
        ({"loss": 1.5}, "train toy, by nothing that is recorded"),
    ],
)
def test_the_first_cause_comes_first(
    changes: dict[str, Any], cause: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert diff([str(line(tmp_path / "one")), str(line(tmp_path / "other", **changes))]) == 1
    assert f"the first that differs: {cause}" in capsys.readouterr().out


def test_what_a_cause_did_to_the_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    diff([str(line(tmp_path / "one")), str(line(tmp_path / "other", rate=0.2, loss=1.0))])
    said = [text.split(": ", 1)[-1] if "->" not in text else text.strip() for text in capsys.readouterr().out.splitlines()]
    assert "setting  training.learning_rate: 0.1 -> 0.2" in said
    assert "number   loss: 2 -> 1 (-50.00 %)" in said
    assert "number   results.toy.bits: 1 -> 0.5 (-50.00 %)" in said


def test_code_versions_and_machines_are_causes_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = line(tmp_path / "one"), line(tmp_path / "other", loss=1.9)
    (train,) = (tmp_path / "other" / "train").iterdir()
    manifest = json.loads((train / "manifest.json").read_text())
    manifest["code"], manifest["versions"]["torch"], manifest["host"]["cpu"] = "123456789abc", "9.9", "another"
    (train / "manifest.json").write_text(json.dumps(manifest))
    diff([str(one), str(other)])
    said = capsys.readouterr().out
    assert "by its code stages.train" in said
    assert "version  torch: " in said
    assert "-> another" in said


def test_runs_of_different_stages_are_not_compared(tmp_path: Path) -> None:
    evaluate = line(tmp_path)
    (train,) = (tmp_path / "train").iterdir()
    with pytest.raises(UserError, match="compare two of one stage"):
        diff([str(evaluate), str(train)])


def test_what_only_one_run_has_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second model is made without a corpus."""
    evaluate = line(tmp_path)
    (train,) = (tmp_path / "train").iterdir()
    with made(tmp_path / "other", "train", {"training": {}}) as (draft, bare):
        draft.write_json("stats.json", {})
    assert diff([str(train), str(bare)]) == 1
    assert "only the first has corpus toy" in capsys.readouterr().out
    assert evaluate.exists()


def test_an_input_that_only_one_has_is_the_cause(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of what is made of it, not of what differs beside it by nothing that is recorded."""
    reports = []
    for name, studied in (("first", False), ("second", True)):
        evaluate = line(tmp_path / name)
        train = next((tmp_path / name / "train").iterdir())
        given = {"evaluate": evaluate}
        if studied:
            with made(tmp_path / name, "study", {"kind": "new"}, train=train) as (draft, given["study"]):
                draft.write_json("stats.json", {"found": 1})
        with made(tmp_path / name, "report", {"title": "same"}, **given) as (draft, report):
            draft.write_json("stats.json", {"inputs": len(given)})
        reports.append(report)
    assert diff([str(report) for report in reports]) == 1
    assert "the first that differs: report toy, by study toy, which only one of the two has" in capsys.readouterr().out


def test_another_gpu_is_a_cause(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [line(tmp_path / "first"), line(tmp_path / "second", loss=3.0)]
    for gpu, name in (("A", "first"), ("B", "second")):
        file = next((tmp_path / name / "train").iterdir()) / "manifest.json"
        manifest = json.loads(file.read_text())
        manifest["host"]["gpu"] = gpu
        file.write_text(json.dumps(manifest))
    diff([str(run) for run in runs])
    said = capsys.readouterr().out
    assert "the first that differs: train toy, by its machine gpu" in said
    assert "machine  gpu: A -> B" in said
