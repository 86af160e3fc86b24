"""Translation through the whole line: two files of sentences in, two translators, one report out."""

import json
from pathlib import Path

import pytest

from stages.lm import artifacts
from tests import sentences
from tests.pipeline import Project

CONFIG = "tests/configs/translation.yaml"


@pytest.fixture(scope="module")
def translated(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("translation"))
    sentences.write(project.folder, train=300, valid=10, test=12)
    project.snakemake(config=CONFIG)
    return project


def only(project: Project, stage: str, name: str) -> Path:
    (folder,) = project.folder.glob(f"results/{stage}/{name}-*")
    assert artifacts.verify(folder) == []
    return folder


@pytest.mark.slow
def test_both_translators_learn_and_are_scored_on_the_same_pairs(translated: Project) -> None:
    for name in ("transformer", "rnn"):
        lines = [json.loads(line) for line in (only(translated, "train", name) / "metrics.jsonl").read_text().splitlines()]
        losses = [line["validation_loss"] for line in lines if "validation_loss" in line]
        assert losses[-1] < losses[0] - 0.2
        evaluated = only(translated, "evaluate", name)
        stats = json.loads((evaluated / "stats.json").read_text())
        assert (stats["pairs"], stats["split"]) == (12, "test")
        found = [json.loads(line) for line in (evaluated / "translations.jsonl").read_text().splitlines()]
        assert [(line["source"], line["reference"]) for line in found] == [sentences.pair(number) for number in range(310, 322)]
        assert sum(line["reference_nats"] for line in found) == pytest.approx(stats["nats_per_token"] * stats["tokens"])


@pytest.mark.slow
def test_the_transformer_is_exported_with_its_scores(translated: Project) -> None:
    stats = json.loads((only(translated, "evaluate", "transformer") / "stats.json").read_text())
    exported = only(translated, "export", "transformer")
    assert json.loads((exported / "config.json").read_text())["architectures"] == ["MarianMTModel"]
    assert f"- BLEU: {stats['bleu']['value']:.4f} [" in (exported / "README.md").read_text()


@pytest.mark.slow
def test_sentences_and_examples_are_decoded(translated: Project) -> None:
    for name in ("transformer", "rnn"):
        decoded = only(translated, "decode", name)
        lines = [json.loads(line) for line in (decoded / "samples.jsonl").read_text().splitlines()]
        given = [("der hund die katze sieht", None), sentences.pair(310), sentences.pair(321)]
        assert [(line["prompt"], line["reference"]) for line in lines] == given
        aligned = json.loads((decoded / "alignments.json").read_text())
        assert len(aligned) == (3 if name == "rnn" else 0)
        for picture in aligned:
            assert len(picture["weights"]) == len(picture["target"])
            assert [sum(row) for row in picture["weights"]] == pytest.approx([1.0] * len(picture["target"]), abs=0.01)


@pytest.mark.slow
def test_the_report_shows_scores_examples_and_attention(translated: Project) -> None:
    report = only(translated, "report", "translation")
    page, table = (report / "report.html").read_text(), (report / "table.txt").read_text()
    stats = json.loads((report / "stats.json").read_text())
    assert {entry["experiment"] for entry in stats["translations"]} == {"transformer", "rnn"}
    for entry in stats["translations"]:
        assert f"{entry['chrf']['value']:.2f} [" in table
        assert f"{entry['chrf']['value']:.2f} [" in page
    for shown in ("Where rnn looks", sentences.pair(321)[1], "tok:13a", "(reference)"):
        assert shown in page


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_with_the_same_bytes(translated: Project, tmp_path: Path) -> None:
    """Dropout included: its draws depend on the step, not on what was drawn before."""
    made = only(translated, "train", "transformer")
    tokens = only(translated, "tokenize", "pairs-bpe")
    command = ["python", "-m", "stages.train", "--config", str(made / "config.yaml"), "--tokens", str(tokens)]
    options = ["--out", str(tmp_path / "out"), "--state", str(tmp_path / "state")]
    stopped = translated.run(*command, *options, "--time-limit", "0.5", check=False)
    assert stopped.returncode == 75, stopped.stderr
    done = translated.run(*command, *options)
    assert "going on after step" in done.stderr
    content = [artifacts.load_manifest(folder)["outputs"]["model.safetensors"]["sha256"] for folder in (made, tmp_path / "out")]
    assert content[0] == content[1]


@pytest.mark.slow
def test_what_does_not_fit_together_is_said_before_the_run(translated: Project, tmp_path: Path) -> None:
    text = (translated.folder / CONFIG).read_text()
    cases = {
        "model: {family: rnn-seq2seq, d_model: 32, context_length: 40}": (
            "model: {family: ngram}",
            "experiments.rnn.model.family: ngram needs a corpus of single texts, not of sentence pairs",
        ),
        "evaluation: {bootstrap_samples: 100, threads: 1}": (
            "decoding: {samples: 2}",
            "experiments.transformer.decoding: means nothing to the family transformer-seq2seq",
        ),
        "test.source.gz": ("nowhere.gz", "nowhere.gz: no such file; mend it in the corpus settings (files.test)"),
    }
    for number, (old, (new, message)) in enumerate(cases.items()):
        bad = tmp_path / f"{number}.yaml"
        bad.write_text(text.replace(old, new, 1))
        done = translated.snakemake("-n", config=str(bad), check=False)
        assert done.returncode == 2
        assert message in done.stderr
