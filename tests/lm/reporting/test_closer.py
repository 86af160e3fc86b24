"""What lies behind the averages, as the page shows it."""

import re

from stages.lm.reporting.closer import closer
from stages.lm.reporting.comparison import compare
from stages.lm.reporting.experiments import Experiment, resolve
from stages.lm.reporting.page import render
from stages.lm.reporting.samples import variety
from stages.lm.reporting.settings import ReportSettings
from stages.lm.reporting.tasks import tasks
from tests.lm.reporting.workshop import Workshop

COLOURS = {"trigram": "#fd0001", "gpt": "#fd0002", "gpt-nope": "#fd0003", "news": "#fd0004"}


def found(workshop: Workshop, experiments: dict[str, dict[str, str]]) -> list[Experiment]:
    settings = ReportSettings.model_validate({"experiments": experiments})
    return resolve(settings, workshop.made, workshop.folder / "report" / "r")


def test_models_of_one_tokenizer_share_a_plot_of_positions(workshop: Workshop) -> None:
    experiments = workshop.standard()
    other = workshop.tokenizer(experiments["gpt"]["corpus"], "small", merges=1)
    tokens = workshop.tokens(experiments["gpt"]["corpus"], other, "toy-small")
    experiments["news"] = workshop.experiment("news", experiments["gpt"]["corpus"], other, tokens, 1.1)
    resolved = found(workshop, experiments)
    section = closer(resolved, compare(resolved), COLOURS)
    assert section is not None
    assert [name for name, _ in section.positions] == ["bpe", "small"]
    assert "trigram, gpt, gpt-nope" in section.positions[0][1]
    assert "trigram" not in section.positions[1][1]


def test_tables_hold_the_numbers_of_the_artifacts(workshop: Workshop) -> None:
    resolved = found(workshop, workshop.standard())
    section = closer(resolved, compare(resolved), COLOURS)
    assert section is not None
    gpt = resolved[1].parts["evaluate"].json("stats.json")
    row = {key: str(cell) for key, cell in section.calibration[1].items()}
    assert row["experiment"] == "gpt"
    assert row["calibration error"] == f"{100 * gpt['calibration']['expected_calibration_error']:.2f} %" == "8.00 %"
    seen = {key: str(cell) for key, cell in section.overlap[1].items()}
    clean = gpt["overlap"]["by_share"][0]
    assert seen["below 20 % seen"] == f"{clean['bits_per_byte']['value']:.4f} ({clean['documents']})"
    assert seen["from 80 % seen"] == "–"
    assert section.n == [13]


def test_the_documents_at_the_ends_are_those_of_the_best_model(workshop: Workshop) -> None:
    resolved = found(workshop, workshop.standard())
    section = closer(resolved, compare(resolved), COLOURS)
    assert section is not None
    (documents,) = section.documents
    costs = [float(document.bits.text) for document in documents.extremes]
    assert documents.best == "gpt"
    assert costs == sorted(costs, reverse=True)
    assert len(costs) == 4
    assert all(document.text.startswith("Once upon a time") for document in documents.extremes)


def test_tasks_rank_models_and_say_whether_they_differ(workshop: Workshop) -> None:
    (task,) = tasks(found(workshop, workshop.standard()), COLOURS)
    assert [str(row["experiment"]) for row in task.rows] == ["gpt", "gpt-nope", "trigram"]
    best, same, worse = task.rows
    assert str(best["p"]) == ""
    assert str(same["p"]) == "1", "answers are the same, example by example"
    assert float(str(worse["p"])) < 0.05
    assert [str(worse[key]) for key in ("near", "far", "by chance")] == ["60.0\u00a0%", "60.0\u00a0%", "50.0\u00a0%"]
    assert task.counted == ["trigram"]
    assert "gpt near 1.00, far 1.00" in task.plot
    assert task.plot.count("training operations (FLOP)") >= 2


def test_a_task_whose_file_has_changed_stands_apart(workshop: Workshop) -> None:
    experiments = workshop.standard()
    workshop.task_file = "b" * 64
    corpus, tokenizer, tokens = (experiments["gpt"][stage] for stage in ("corpus", "bpe", "tokenize"))
    experiments["later"] = workshop.experiment("later", corpus, tokenizer, tokens, 0.7)
    first, second = tasks(found(workshop, experiments), COLOURS | {"later": COLOURS["gpt"]})
    assert [len(first.rows), [str(row["experiment"]) for row in second.rows]] == [3, ["later"]]


def test_variety_stands_beside_that_of_the_corpus(workshop: Workshop) -> None:
    rows = variety(found(workshop, workshop.standard()))
    assert [str(row["texts of"]) for row in rows] == ["trigram", "gpt", "gpt-nope", "corpus toy"]
    own = rows[0]
    assert float(str(own["repeated"])) > 0.3, "the same story three times, and a short text that repeats nothing"
    assert own["distinct-1"].artifact is not None
    assert own["distinct-1"].artifact.startswith("decode/")
    assert rows[-1]["distinct-1"].artifact == workshop.made[rows[-1]["words"].artifact or ""].id


def test_the_page_shows_both_sections_and_lacks_them_where_nothing_was_measured(workshop: Workshop) -> None:
    experiments = workshop.standard()
    resolved = found(workshop, experiments)
    html = render("A report", resolved, compare(resolved))
    assert re.search(r'<section id="closer">.*Calibration.*Seen before', html, re.DOTALL)
    assert re.search(r'<section id="tasks">.*order.jsonl', html, re.DOTALL)
    bare = found(workshop, {name: {"train": parts["train"]} for name, parts in experiments.items()})
    html = render("A report", bare, [])
    assert 'id="closer"' not in html
    assert 'id="tasks"' not in html
