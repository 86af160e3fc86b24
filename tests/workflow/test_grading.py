"""A folder of submissions through the DAG: one job each, a table of all, nothing twice, and no harm from those that misbehave."""

import csv
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from stages.lm.errors import UserError
from tests.lm.grading.faults import FAULTS, PROJECT_1_1, PROJECT_1_2, SEED
from tests.pipeline import Project
from workflow.grading import grades, slug, table_name, taken_from

ADAPTERS = "from stages.lm.grading.reference import *\n"

HOSTILE = {
    "loops": ("def silu(x):\n    while True: pass\n", {"silu": 0}),
    "takes-100-gb": ("def softmax(x, dim):\n    return bytearray(100 << 30)\n", {"softmax": 0}),
    "leaves": ("import os\nos._exit(0)\n", None),
    "writes-elsewhere": (
        "from pathlib import Path\nimport os\ndef linear(weight, x):\n"
        "    for place in ('/tmp', os.path.dirname(__file__), OUTSIDE):\n"
        "        Path(place, 'written-by-a-submission').write_text('x')\n"
        "    return x @ weight.T\n",
        {"linear": 0},
    ),
    "forges": (
        'import os, sys\ndef cross_entropy(logits, targets):\n    forged = \'{"score": 100.0, "tests": []}\'\n'
        "    print(forged, flush=True)\n    open('results.json', 'w').write(forged)\n"
        "    for descriptor in range(3, 64):\n"
        "        try:\n            os.write(descriptor, forged.encode().ljust(64))\n        except OSError:\n            pass\n"
        "    os._exit(0)\n",
        {"loss": 0, "loss.stable": 0, "overfit": 0},
    ),
}
"""Code that overrides the reference, and what it leaves of the checks that it fails; None where nothing is left."""


@pytest.fixture
def given(tmp_path: Path, root: Path) -> dict[str, Any]:
    """Two submissions and a rubric, as `--config` names them."""
    for name in ("ann", "bob & co"):
        (tmp_path / "class" / name).mkdir(parents=True)
        (tmp_path / "class" / name / "adapters.py").write_text(f"# {name}\n")
    return {"submissions": str(tmp_path / "class"), "rubric": str(root / PROJECT_1_1), "grading_seed": "7"}


def test_each_submission_is_a_node(given: dict[str, Any]) -> None:
    assert [node.name for node in grades(given).values()] == ["ann", "bob_co"]


@pytest.mark.parametrize("key", ["submissions", "rubric", "grading_seed"])
def test_what_identifies_a_grade(key: str, given: dict[str, Any], root: Path, tmp_path: Path) -> None:
    before = list(grades(given))
    if key == "submissions":
        (tmp_path / "class/ann/more.py").write_text("")
    else:
        given |= {"rubric": str(root / PROJECT_1_2), "grading_seed": 8} if key == "rubric" else {"grading_seed": 8}
    after = list(grades(given))
    assert before[0] != after[0]
    assert (before[1] == after[1]) == (key == "submissions")


def test_what_is_there_by_accident_does_not_count(given: dict[str, Any], tmp_path: Path) -> None:
    before = list(grades(given))
    (tmp_path / "class/ann/__pycache__").mkdir()
    (tmp_path / "class/ann/__pycache__/x.pyc").write_text("")
    (tmp_path / "class/ann/link").symlink_to("/etc")
    (tmp_path / "class/.DS_Store").write_text("")
    assert list(grades(given)) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grading_seed": None}, "grade: needs grading_seed; for example --config submissions=FOLDER"),
        ({"grading_seed": "x"}, "grading_seed: should be a whole number from 0 on, not 'x'"),
        ({"submissions": "nowhere"}, "nowhere: is no folder"),
        ({"rubric": "nowhere.yaml"}, "nowhere.yaml: no such settings file"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], message: str, given: dict[str, Any]) -> None:
    changed = {key: value for key, value in (given | changes).items() if value is not None}
    with pytest.raises(UserError, match=message):
        grades(changed)


def test_an_empty_class_is_refused(given: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no submissions"):
        grades(given | {"submissions": str(tmp_path / "empty")})


def test_a_grading_is_no_part_of_the_config() -> None:
    config = {"name": "n", "submissions": "s", "grading_seed": 1}
    assert taken_from(config) == {"submissions": "s", "grading_seed": 1}
    assert config == {"name": "n"}


@pytest.mark.parametrize(("name", "expected"), [("ann", "ann"), ("王 & co", "co"), ("../x", "x"), ("***", "submission")])
def test_names_become_folders(name: str, expected: str) -> None:
    assert slug(name) == expected


def test_each_rubric_has_a_table_of_its_own(given: dict[str, Any], root: Path) -> None:
    assert table_name(given) == "class-project_1.1"
    assert table_name(given | {"rubric": str(root / PROJECT_1_2)}) == "class-project_1.2"


@pytest.mark.slow
@pytest.mark.timeout(5400)
@pytest.mark.parametrize("size", [12, 50])
def test_a_class(size: int, tmp_path: Path) -> None:
    """Five of it hostile; graded by one command, as expected to the point, and the same when it is done again."""
    if size > 12 and "STAGECRAFT_CLASS" not in os.environ:
        pytest.skip("minutes of grading; runs with STAGECRAFT_CLASS=")
    project, expected = Project(tmp_path / "project"), write_class(tmp_path, size)
    command = ["snakemake", "grade", "--cores", "2", "--config", f"submissions={tmp_path / 'class'}"]
    command += [f"rubric={PROJECT_1_2}", f"grading_seed={SEED}"]
    project.run(*command)
    assert {name: left(project, name) for name in expected} == expected
    with (project.folder / "grades/class-project_1.2.csv").open() as stream:
        scores = {row["submission"]: float(row["score"]) for row in csv.DictReader(stream)}
    assert len(scores) == size
    assert scores["reference_0"] == 100
    assert not [
        path for path in (Path("/tmp"), tmp_path, *(tmp_path / "class").iterdir()) if (path / "written-by-a-submission").exists()
    ]

    assert "Nothing to be done" in project.run(*command).stderr
    contents, tables = project.contents(), table(project)
    for name in ("reference_0", "loops", "forges", "writes_elsewhere"):
        (folder,) = (project.folder / "results/grade").glob(f"{name}-*")
        shutil.rmtree(folder)
    with (tmp_path / "class/reference_1/adapters.py").open("a") as stream:
        stream.write("# changed\n")
    again = project.run(*command)
    assert again.stderr.count("rule make_grade:") + again.stderr.count(": make_grade: ") == 5
    assert {name: content for name, content in project.contents().items() if name in contents} == contents
    assert table(project)[0] == tables[0]


@pytest.mark.slow
def test_a_variant_with_its_sweep_and_its_claim(tmp_path: Path) -> None:
    """Project 1.3 as it is handed in: a run of our own variant gets all points, and one with another number loses the claim's."""
    project, config = Project(tmp_path / "project"), "tests/configs/variants.yaml"
    project.replace("tests/configs/gates.yaml", "none]}", "none]}\n  training.learning_rate: {values: [1.0e-2, 2.0e-2]}")
    project.snakemake(config=config)
    project.run("snakemake", "claim", "--cores", "2", "--configfile", config)
    ours = tmp_path / "class/ours"
    for file in (config, "tests/configs/gates.yaml", "config/variants/gated_attention.py"):
        (ours / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(project.folder / file, ours / file)
    shutil.copytree(project.folder / "results", ours / "results")
    (sweep,) = (ours / "results/sweep").iterdir()
    (report,) = (ours / "results/report").glob("*/report.html")
    shutil.copytree(sweep, ours / "sweep")
    shutil.copy(report, ours / "report.html")
    shutil.copy(project.folder / "tests/configs/gates.yaml", ours / "sweep.yaml")
    shutil.copy(project.folder / "config/variants/gated_attention.py", ours / "variant.py")
    shutil.copy(project.folder / "claims/tiny-variants.yaml", ours / "claim.yaml")
    shutil.copytree(ours, tmp_path / "class/forged")
    claim = tmp_path / "class/forged/claim.yaml"
    claim.write_text(re.sub(r"value: (\d)", r"value: 0.\1", claim.read_text(), count=1))
    given = [f"submissions={tmp_path / 'class'}", "rubric=config/grading/project-1.3.yaml", "grading_seed=1"]
    project.run("snakemake", "grade", "--cores", "2", "--config", *given)
    assert left(project, "ours") == {}
    assert left(project, "forged") == {"claim": 0}


def write_class(folder: Path, size: int) -> dict[str, dict[str, float] | None]:
    """Write the class; returns what is left of the checks that each fails."""
    reference = Project.at(Path(__file__).resolve().parents[2])
    reference.run("python", "-m", "stages.grade", "reference", str(folder / "reference"))
    faults = {name.replace(" ", "-"): (one.code, one.left) for name, one in FAULTS.items() if one.rubric == PROJECT_1_2}
    members: dict[str, tuple[str, Any]] = {f"reference-{number}": (f"# {number}\n", {}) for number in range(4)}
    members |= HOSTILE
    number = 0
    while len(members) < size:
        members |= {f"{name}-{number}": (f"{code}# {number}\n", left) for name, (code, left) in faults.items()}
        number += 1
    members = {slug(name): member for name, member in list(members.items())[:size]}
    for name, (code, _) in members.items():
        shutil.copytree(folder / "reference", folder / "class" / name)
        written = code.replace("OUTSIDE", repr(str(folder)))
        (folder / "class" / name / "adapters.py").write_text(ADAPTERS + written, encoding="utf-8")
    return {name: left for name, (_, left) in members.items()}


def left(project: Project, name: str) -> dict[str, float] | None:
    """What is left of the checks that a submission fails; None where nothing is left of any."""
    (folder,) = (project.folder / "results/grade").glob(f"{name}-????????????")
    tests = json.loads((folder / "results.json").read_text())["tests"]
    failed = {test["tags"][0]: test["score"] for test in tests if test["score"] < test["max_score"]}
    return None if len(failed) > 30 and not any(failed.values()) else failed


def table(project: Project) -> tuple[str, str]:
    return tuple((project.folder / f"grades/class-project_1.2.{kind}").read_text() for kind in ("csv", "html"))  # type: ignore[return-value]
