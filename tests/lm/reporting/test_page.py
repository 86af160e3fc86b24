"""The page: whole, self-contained, accessible, and honest about where its numbers come from."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from stages.lm.errors import UserError
from stages.lm.reporting.comparison import compare
from stages.lm.reporting.experiments import resolve, resolve_sweeps
from stages.lm.reporting.page import render
from stages.lm.reporting.settings import ReportSettings
from stages.lm.reporting.sweeps import _axis
from tests.lm.reporting.workshop import Workshop

VOID = {"meta", "br", "img", "link", "input", "hr", "path", "use", "rect"}


class Page(HTMLParser):
    """A parsed page; raises where a tag is closed that is not open."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.tags if found == tag]


def page(workshop: Workshop, experiments: dict[str, dict[str, str]], title: str = "A report") -> str:
    settings = ReportSettings.model_validate({"title": title, "experiments": experiments})
    found = resolve(settings, workshop.made, workshop.folder / "report" / "r")
    return render(settings.title, found, compare(found))


def test_the_page_is_well_formed_and_needs_nothing_beside_itself(workshop: Workshop) -> None:
    html = page(workshop, workshop.standard())
    parsed = Page(html)
    assert parsed.open == []
    assert not {tag for tag, _ in parsed.tags} & {"script", "link", "img", "iframe", "object", "embed", "video"}
    outside = re.sub(r'xmlns(:xlink)?="http://www\.w3\.org/[^"]*"', "", html)
    assert "http" not in outside
    assert not re.search(r"@import|url\((?!#)", html)
    ids = re.findall(r'\sid="([^"]*)"', html)
    assert len(ids) == len(set(ids))


def test_every_link_leads_to_an_artifact_or_to_a_section(workshop: Workshop) -> None:
    parsed = Page(page(workshop, workshop.standard()))
    sections = {f"#{attributes['id']}" for attributes in parsed.all("section")}
    folders = {artifact.path.resolve() for artifact in workshop.made.values()}
    linked = set()
    for attributes in parsed.all("a"):
        href = attributes["href"] or ""
        if href.startswith("#"):
            assert href in sections
        else:
            linked.add((workshop.folder / "report" / "r" / Path(href)).resolve())
            assert attributes["title"] in workshop.made
    assert linked == folders


def test_the_page_is_accessible(workshop: Workshop) -> None:
    html = page(workshop, workshop.standard())
    parsed = Page(html)
    assert html.startswith("<!doctype html>\n<html lang=")
    assert all(attributes.get("aria-label") for attributes in parsed.all("svg"))
    assert len(parsed.all("table")) == len(parsed.all("caption"))
    assert all(attributes.get("scope") for attributes in parsed.all("th"))
    assert [tag for tag, _ in parsed.tags].count("h1") == 1


def test_texts_are_shown_as_they_are(workshop: Workshop) -> None:
    parsed = Page(page(workshop, workshop.standard(), title="<Loss> & <script>alert(1)</script>"))
    assert "<Loss> & <script>alert(1)</script>" in parsed.text
    assert 'said: "1 < 2 & 3 > 2"\u2028and left.' in parsed.text
    assert "there was a fox & a <hen>" in parsed.text


def test_the_headline_names_the_best_and_its_distance(workshop: Workshop) -> None:
    text = " ".join(Page(page(workshop, workshop.standard())).text.split())
    assert re.search(r"gpt spends 0\.8\d+ bits on a byte, 5\.0 % above what the source itself needs; gpt-nope comes next", text)


def test_estimates_stand_beside_measurements(workshop: Workshop) -> None:
    text = " ".join(Page(page(workshop, workshop.standard())).text.split())
    assert "parameters 912,384 912,384 +0.0 %" in text
    assert "training time 50 s 1 min 00 s -16.7 %" in text
    assert "tokens a second 2,048 1,707 +20.0 %" in text
    assert "peak memory 768 MiB 768 MiB +0.0 %" in text
    assert "operations 460 GFLOP – –" in text
    assert "optimizer512 MiB66.7 %" in text


def test_settings_that_differ_are_marked(workshop: Workshop) -> None:
    html = page(workshop, workshop.standard())
    rows = re.findall(r'<tr( class="differs")?><th scope="row" class="plain"><code>([^<]*)</code>', html)
    marked = {key for differs, key in rows if differs}
    assert marked == {"model.family"}
    assert {"model.order", "training.steps", "split", "prompts"} <= {key for _, key in rows}


@pytest.mark.parametrize("missing", ["corpus", "bpe", "tokenize", "estimate", "train", "evaluate", "decode"])
def test_any_kind_of_artifact_may_be_missing(workshop: Workshop, missing: str) -> None:
    experiments = {
        name: {stage: i for stage, i in parts.items() if stage != missing} for name, parts in workshop.standard().items()
    }
    parsed = Page(page(workshop, experiments))
    sections = {attributes["id"] for attributes in parsed.all("section")}
    belongs = {
        "corpus": "corpora",
        "bpe": "tokenizers",
        "estimate": "estimates",
        "train": "learning",
        "evaluate": "comparison",
        "decode": "samples",
    }
    assert belongs.get(missing) not in sections
    assert {"settings", "artifacts"} <= sections


def test_groups_of_documents_have_their_own_headline_and_table(workshop: Workshop) -> None:
    experiments = workshop.standard()
    other = workshop.corpus("news", entropy=None, seed=1)
    tokens = workshop.tokens(other, experiments["gpt"]["bpe"], "news-bpe")
    experiments["news"] = workshop.experiment("news", other, experiments["gpt"]["bpe"], tokens, 1.1)
    parsed = Page(page(workshop, experiments))
    text = " ".join(parsed.text.split())
    assert "news spends 1.1" in text
    assert text.count("All experiments, the best first") == 2
    assert len([a for a in parsed.all("p") if a.get("class") == "headline"]) == 2


def test_a_sweep_can_be_explored_without_a_network(workshop: Workshop) -> None:
    experiments = workshop.standard()
    sweep = workshop.sweep()
    settings = ReportSettings.model_validate({"experiments": experiments, "sweeps": {"lr": sweep}})
    found = resolve(settings, workshop.made, workshop.folder / "report")
    html = render("A report", found, [], {}, resolve_sweeps(settings, workshop.made))
    parsed = Page(html)
    scripts = parsed.all("script")
    assert [sorted(script) for script in scripts] == [["type"], []], "no script is fetched"
    data = json.loads(html.split('<script type="application/json">')[1].split("</script>")[0])
    assert [axis["scale"] for axis in data["axes"]] == ["logarithm", "places"]
    assert [trial["values"] for trial in data["trials"]] == [[1e-3, 0], [1e4, 1], [1e-2, 0]]
    assert data["axes"][1]["labels"] == ["cosine", "<b>"]
    assert [trial["state"] for trial in data["trials"]] == ["finished", "diverged", "stopped"]
    assert data["trials"][0]["curve"] == [[10, 3.0], [20, 2.0]]
    assert "experiments:" in parsed.text
    assert "PED-ANOVA" in parsed.text
    assert "training.schedule" in parsed.text
    listed = html[html.index("All trials") :]
    assert listed.index(">0.001<") < listed.index(">0.01<") < listed.index(">1e+04<"), "the best trial stands first"


def test_values_that_are_no_numbers_have_places() -> None:
    axis, drawn = _axis("training.betas", [[0.9, 0.95], [0.9, 0.99], [0.9, 0.95], None])
    assert axis == {"name": "training.betas", "scale": "places", "labels": ["[0.9, 0.95]", "[0.9, 0.99]", "None"]}
    assert drawn == [0, 1, 0, 2]


def test_an_id_that_was_not_given_is_named(workshop: Workshop) -> None:
    experiments = workshop.standard()
    experiments["gpt"]["train"] = "train/lost-0"
    with pytest.raises(UserError, match=r"experiments\.gpt\.train: train/lost-0 is not among the artifacts"):
        page(workshop, experiments)
    experiments["gpt"]["train"] = experiments["gpt"]["evaluate"]
    with pytest.raises(UserError, match="name one of stage 'train'"):
        page(workshop, experiments)
