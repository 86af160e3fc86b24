"""The plan: what a setting changes, what experiments share, where artifacts lie."""

from pathlib import Path

import pytest

from stages.lm.errors import UserError
from tests.workflow.configs import BASE, changed
from workflow.plan import STAGES, Plan, build
from workflow.reading import read

LINE = [stage for stage in STAGES if stage not in ("trial", "sweep", "scaling")]
"""The stages of a config without sweeps or scaling studies."""


def ids(plan: Plan) -> dict[str, set[str]]:
    return {stage: {node.id for node in plan.stage(stage)} for stage in LINE}


def moved(path: str, value: object) -> set[str]:
    """The stages whose artifacts get another path when one key changes."""
    before, after = ids(build(read(BASE))), ids(build(read(changed(path, value))))
    return {stage for stage in LINE if before[stage] != after[stage]}


def test_every_stage_has_its_artifact() -> None:
    plan = build(read(BASE))
    assert [node.stage for node in plan.nodes.values()] == LINE
    assert all(node.id.startswith(f"{node.stage}/{node.name}-") for node in plan.nodes.values())


def test_a_setting_moves_its_stage_and_what_follows() -> None:
    everything = set(LINE)
    assert moved("corpora.toy.documents", 11) == everything
    assert moved("tokenizers.bpe.vocab_size", 301) == everything - {"corpus"}
    assert moved("experiments.gpt.training.steps", 6) == {"estimate", "train", "evaluate", "decode", "export", "report"}
    assert moved("experiments.gpt.decoding", {"temperature": 0.5, "prompts": ["Once", "Twice"]}) == {"decode", "report"}
    assert moved("experiments.gpt.decoding", {"batch_size": 9}) == {"decode", "report"}  # there is one text
    assert moved("experiments.gpt.decoding", {"samples": 3}) == {"estimate", "decode", "report"}
    assert moved("experiments.gpt.evaluation", {"seed": 5}) == {"evaluate", "export", "report"}
    assert moved("experiments.gpt.export", {"top_k": 5}) == {"export", "report"}
    assert moved("title", "Another") == {"report"}
    assert moved("execution", {"wandb": "offline"}) == set()


def test_a_study_of_tokenizers_reads_what_it_compares() -> None:
    plan = build(read(changed("studies.kinds", {"kind": "tokenizers", "rounds": 1})))
    study = next(node for node in plan.stage("study") if node.name == "kinds")
    (report,) = plan.stage("report")
    assert {node.stage for node in study.inputs.values()} == {"bpe", "corpus"}
    assert study.settings["tokenizers"] == {"bpe": plan.stage("bpe")[0].id}
    assert report.settings["studies"]["kinds"] == study.id
    assert study.id in report.inputs
    assert moved("studies.kinds", {"kind": "tokenizers"}) == {"study", "report"}


def test_a_study_of_models_reads_the_tokens_that_they_share() -> None:
    (study,) = build(read(BASE)).stage("study")
    (tokens,) = study.inputs.values()
    assert (tokens.stage, study.settings["tokens"]) == ("tokenize", tokens.id)
    assert study.settings["models"]["gpt"]["d_model"] == 16


def test_a_study_of_accounting_waits_for_nothing() -> None:
    plan = build(read(changed("studies.costs", {"kind": "accounting"})))
    study = next(node for node in plan.stage("study") if node.name == "costs")
    assert (dict(study.inputs), study.threads) == ({}, 1)
    assert plan.stage("report")[0].settings["studies"]["costs"] == study.id


def test_tasks_need_the_tokenizer_and_wait_for_their_files(tmp_path: Path) -> None:
    assert moved("experiments.gpt.evaluation", {"tasks": {"who": {"source": "grammar", "about": "state"}}}) == {
        "evaluate", "export", "report",
    }  # fmt: skip
    file = tmp_path / "own.jsonl"
    file.write_text('{"good": "a", "bad": "b"}\n')
    data = changed("experiments.gpt.evaluation", {"tasks": {"own": {"source": "file", "path": str(file)}}})
    (evaluate,) = build(read(data)).stage("evaluate")
    assert evaluate.files == (str(file),)
    assert evaluate.inputs["tokenizer"].stage == "bpe"
    assert "tokenizer" not in build(read(BASE)).stage("evaluate")[0].inputs
    file.write_text('{"good": "a"}\n')
    with pytest.raises(UserError, match=r"tasks\.own: .*own\.jsonl, line 1: bad: this key is required"):
        build(read(data))


def test_a_written_default_moves_nothing() -> None:
    assert moved("experiments.gpt.training.batch_size", 32) == set()


def test_experiments_share_what_they_have_in_common() -> None:
    plan = build(read(changed("experiments.warm", {"extends": "gpt", "decoding": {"temperature": 1.1}})))
    assert {stage: len(found) for stage, found in ids(plan).items()} == dict.fromkeys(LINE, 1) | {"decode": 2}
    warm = next(node for node in plan.stage("decode") if node.name == "warm")
    assert warm.inputs["model"].id in ids(plan)["train"]
    (report,) = plan.stage("report")
    assert report.settings["experiments"]["warm"]["train"] == report.settings["experiments"]["gpt"]["train"]


def test_the_report_knows_what_each_experiment_starts_from() -> None:
    data = changed("experiments.a", {"extends": "gpt", "training": {"steps": 7}})
    data["experiments"]["b"] = {"extends": "a", "training": {"batch_size": 3}}
    (report,) = build(read(data)).stage("report")
    assert report.settings["bases"] == {"a": "gpt", "b": "a"}


def test_training_settings_mean_nothing_to_a_counting_model() -> None:
    data = changed("experiments.trigram", {"tokenizer": "bpe", "model": {"family": "ngram", "order": 3}})
    other = changed("experiments.trigram", {**data["experiments"]["trigram"], "training": {"steps": 99}})
    assert ids(build(read(data)))["train"] == ids(build(read(other)))["train"]


def test_cores_are_no_part_of_an_artifact() -> None:
    assert ids(build(read(BASE), cores=1)) == ids(build(read(BASE), cores=64))


def test_a_thousand_experiments_are_planned_in_seconds() -> None:
    import time

    base = BASE["experiments"]["gpt"]
    many = {f"gpt-{i}": {**base, "training": {"steps": i + 1}} for i in range(1000)}
    config = read(BASE | {"experiments": many, "studies": {}})
    began = time.monotonic()
    assert len(build(config).stage("train")) == 1000
    assert time.monotonic() - began < 20


def test_a_draft_is_trained_before_texts_are_written() -> None:
    """The draft stands after the experiment that it drafts for in the config, and before it in the plan."""
    data = changed("experiments.gpt.decoding", {"draft": "trigram", "draft_tokens": 3})
    data["experiments"]["trigram"] = {"tokenizer": "bpe", "model": {"family": "ngram"}}
    plan = build(read(data))
    texts, draft = plan.experiments["gpt"]["decode"], plan.experiments["trigram"]["train"]
    assert texts.inputs["draft"] is draft
    assert set(texts.inputs) == {"model", "tokenizer", "draft"}
    order = list(plan.nodes.values())
    assert order.index(draft) < order.index(texts)
    assert {"stages.lm.inference.speculation", "stages.lm.models.ngram.model"} <= set(texts.modules)
    data["experiments"]["trigram"]["model"]["order"] = 4
    assert build(read(data)).experiments["gpt"]["decode"].id != texts.id
