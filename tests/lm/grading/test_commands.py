"""What a student and a teacher do by hand: begin a submission, try it, gather a table."""

import ast
import csv
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages import grade
from stages.lm import artifacts
from stages.lm.errors import UserError
from stages.lm.grading import commands
from stages.lm.grading.submission import content, too_large
from tests.lm.grading.faults import PROJECT_1_2

BEGUN = {
    "silu": "def silu(x):\n    return x / (1 + (-x).exp())\n",
    "softmax": "def softmax(x, dim):\n    return x.exp() / x.exp().sum(dim, keepdim=True)\n",
}


def begun(folder: Path) -> Path:
    """A template in which two functions are filled in, one of them wrongly."""
    commands.run("template", [str(folder)])
    with (folder / "adapters.py").open("a") as stream:
        stream.writelines(BEGUN.values())
    return folder


def graded(submission: Path, out: Path, root: Path, monkeypatch: pytest.MonkeyPatch, **changed: Any) -> None:
    """Make the artifact as the DAG does."""
    rubric = yaml.safe_load((root / PROJECT_1_2).read_text())
    settings = {"submission": submission.name, "content": content(submission), "rubric": rubric, "seed": 5} | changed
    file = out.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(settings))
    monkeypatch.setattr("sys.argv", ["grade", "--config", str(file), "--submission", str(submission), "--out", str(out)])
    grade.main()


def test_a_try_says_what_is_wrong_and_where_to_look(tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run("try", [str(begun(tmp_path / "mine")), "--rubric", str(root / PROJECT_1_2)]) == 1
    shown = capsys.readouterr().out
    assert "silu                          2 of 2    SiLU" in shown
    assert "softmax                       2 of 3    Softmax" in shown
    assert "large numbers: the answer is nan instead of" in shown
    assert "hint: Subtract the maximum along `dim`" in shown
    assert "is not implemented yet" in shown
    assert "\n4 of 100 points; " in shown


def test_a_grade_is_the_same_a_second_time(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    submission = begun(tmp_path / "mine")
    for name in ("one", "two"):
        graded(submission, tmp_path / name, root, monkeypatch)
    one, two = (artifacts.read(tmp_path / name, "grade") for name in ("one", "two"))
    assert one.manifest["content"] == two.manifest["content"]
    assert {name for name, entry in one.manifest["outputs"].items() if not entry["deterministic"]} == {"times.json"}
    results = one.json("results.json")
    assert results["score"] == sum(test["score"] for test in results["tests"]) == 4
    assert [test["name"][:4] for test in results["tests"] if test["status"] == "passed"] == ["SiLU"]
    page = (tmp_path / "one/page.html").read_text()
    assert "What to mend" in page
    assert "Subtract the maximum along" in page

    commands.run("table", ["--artifact", str(tmp_path / "one"), "--out", str(tmp_path / "class")])
    with (tmp_path / "class.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert (row["submission"], row["score"], row["Layers"]) == ("mine", "4.0", "4.0")
    assert 'href="one/page.html"' in (tmp_path / "class.html").read_text()


def test_a_submission_that_was_changed_since_is_refused(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="is not the submission that these settings name"):
        graded(begun(tmp_path / "mine"), tmp_path / "out", root, monkeypatch, content="0" * 64)
    assert not (tmp_path / "out").exists()


def test_the_template_asks_for_what_the_reference_has(root: Path) -> None:
    def functions(file: Path) -> dict[str, str]:
        tree = ast.parse(file.read_text())
        found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
        return {node.name: ", ".join(ast.unparse(argument) for argument in node.args.args) for node in found}

    assert functions(root / "config/grading/template/adapters.py") == functions(root / "stages/lm/grading/reference.py")


def test_nothing_is_written_over(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exists already"):
        commands.run("template", [str(tmp_path)])


def test_a_name_that_a_spreadsheet_would_run() -> None:
    row = {"submission": "=HYPERLINK(1)", "points": {"score": 1.0}, "lost": ""}
    assert commands.as_csv(["score"], [row]).splitlines()[1].startswith("'=HYPERLINK")


@pytest.mark.parametrize("large", [True, False])
def test_a_submission_has_a_greatest_size(large: bool, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(bytes(2 << 20))
    assert too_large(tmp_path, 1 if large else 3) == ("has 2 MiB, but 1 MiB are allowed" if large else None)
