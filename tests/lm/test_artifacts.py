"""An artifact is whole, or it does not exist."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stages.lm import artifacts
from stages.lm.errors import UserError


def write(out: Path, text: str = "hello", stage: str = "corpus", **inputs: artifacts.Artifact) -> artifacts.Artifact:
    with artifacts.writing(out, stage, {"seed": 7}, inputs) as draft:
        (draft.path / "deep").mkdir()
        draft.write_text("deep/text.txt", text)
        draft.write_text("clock.txt", "now")
        np.save(draft.path / "ids.npy", np.arange(6, dtype=np.uint16).reshape(2, 3))
        draft.volatile.add("clock.txt")
        draft.seed = 7
    return artifacts.read(out, stage)


def test_what_was_written_is_read_back_with_its_origin(tmp_path: Path) -> None:
    corpus = write(tmp_path / "corpus")
    bpe = write(tmp_path / "bpe", stage="bpe", corpus=corpus)
    assert bpe.file("deep/text.txt").read_text() == "hello"
    assert bpe.settings == {"seed": 7}
    assert bpe.manifest["seed"] == 7
    assert bpe.manifest["inputs"]["corpus"]["digest"] == corpus.digest
    assert bpe.manifest["inputs"]["corpus"]["manifest"] == artifacts.sha256(corpus.path / "manifest.json")
    assert bpe.manifest["outputs"]["ids.npy"]["dtype"] == "uint16"
    assert bpe.manifest["outputs"]["ids.npy"]["shape"] == [2, 3]
    assert bpe.manifest["outputs"]["deep/text.txt"]["bytes"] == 5
    # printf hello | sha256sum
    expected = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert bpe.manifest["outputs"]["deep/text.txt"]["sha256"] == expected
    assert {"python", "numpy"} <= bpe.manifest["versions"].keys()


def test_content_hash_ignores_only_volatile_files(tmp_path: Path) -> None:
    first, second, other = (write(tmp_path / name, text) for name, text in [("a", "x"), ("b", "x"), ("c", "y")])
    assert first.manifest["content"] == second.manifest["content"] != other.manifest["content"]


def test_digest_depends_on_settings_inputs_and_stage_not_on_order() -> None:
    digest = artifacts.digest("bpe", {"a": 1, "b": 2}, {"corpus": "x"})
    assert digest == artifacts.digest("bpe", {"b": 2, "a": 1}, {"corpus": "x"})
    others = [("bpe", {"a": 1, "b": 3}, {"corpus": "x"}), ("bpe", {"a": 1, "b": 2}, {"corpus": "y"}),
              ("train", {"a": 1, "b": 2}, {"corpus": "x"})]  # fmt: skip
    assert digest not in {artifacts.digest(*other) for other in others}


def test_infinities_are_valid_json_and_come_back() -> None:
    value = {"low": 1.5, "high": float("inf"), "both": [float("-inf"), '"inf"'], "none": None}
    text = artifacts.to_json(value)
    assert json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON")) == value
    with pytest.raises(ValueError, match="not JSON compliant"):
        artifacts.to_json([float("nan")])


def test_a_failed_writer_leaves_what_was_there(tmp_path: Path) -> None:
    write(tmp_path / "a", "old")

    def fail() -> None:
        with artifacts.writing(tmp_path / "a", "corpus", {"seed": 8}, {}) as draft:
            draft.write_text("deep.txt", "new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert artifacts.read(tmp_path / "a", "corpus").file("deep/text.txt").read_text() == "old"
    assert not (tmp_path / "a" / artifacts.DRAFT).exists()


def test_rewriting_removes_files_that_are_no_longer_part(tmp_path: Path) -> None:
    write(tmp_path / "a")
    with artifacts.writing(tmp_path / "a", "corpus", {}, {}) as draft:
        draft.write_text("only.txt", "")
    assert sorted(file.name for file in (tmp_path / "a").iterdir() if file.is_file()) == [
        "config.yaml",
        "manifest.json",
        "only.txt",
    ]
    assert not artifacts.verify(tmp_path / "a")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "deep/text.txt").write_text("jello"), "deep/text.txt has another sha256"),
        (lambda folder: (folder / "deep/text.txt").write_text("hell"), "deep/text.txt has 4 bytes instead of 5"),
        (lambda folder: (folder / "ids.npy").unlink(), "ids.npy is missing"),
        (lambda folder: (folder / "manifest.json").unlink(), "not a complete artifact"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json is damaged"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "manifest.json is damaged"),
    ],
)
def test_damage_is_told_and_refused(tmp_path: Path, damage, message: str) -> None:
    write(tmp_path / "a")
    damage(tmp_path / "a")
    with pytest.raises(UserError, match=message):
        artifacts.read(tmp_path / "a", "corpus")


def test_another_stage_or_format_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a")
    with pytest.raises(UserError, match="stage 'corpus', but 'bpe' is needed"):
        artifacts.read(tmp_path / "a", "bpe")
    manifest = json.loads((tmp_path / "a/manifest.json").read_text())
    (tmp_path / "a/manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(UserError, match="has format 99"):
        artifacts.read(tmp_path / "a", "corpus")


def test_a_folder_named_for_other_settings_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="choose another --out"),
        artifacts.writing(tmp_path / "toy-0123456789ab", "corpus", {}, {}),
    ):
        pass


def test_a_killed_writer_leaves_no_artifact(tmp_path: Path) -> None:
    """A process that dies inside the block, at once and without clean-up, has made nothing that a reader accepts."""
    code = (
        "import os, pathlib\nfrom stages.lm import artifacts\n"
        f"with artifacts.writing(pathlib.Path({str(tmp_path / 'a')!r}), 'corpus', {{}}, {{}}) as draft:\n"
        "    draft.write_text('half.txt', 'half')\n    os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    with pytest.raises(UserError, match="not a complete artifact"):
        artifacts.read(tmp_path / "a", "corpus")
    assert write(tmp_path / "a").file("clock.txt").read_text() == "now"


def test_verify_command_tells_whole_from_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "results/good")
    assert artifacts.main(["verify", str(tmp_path / "results")]) == 0
    write(tmp_path / "results/bad")
    (tmp_path / "results/bad/ids.npy").unlink()
    assert artifacts.main(["verify", str(tmp_path / "results")]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("damaged") and "bad" in line and "ids.npy is missing" in line for line in lines)
    assert any(line.startswith("whole") and "good" in line for line in lines)
    assert artifacts.main(["verify", str(tmp_path / "nothing")]) == 2


def test_a_lock_left_behind_does_no_harm_and_none_is_left(tmp_path: Path) -> None:
    """What a killed process leaves is a file that nobody has locked."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a/.lock").touch()
    write(tmp_path / "a")
    assert not (tmp_path / "a/.lock").exists()


def test_the_lock_is_one_that_nfs_has(tmp_path: Path) -> None:
    """NFS turns flock into a lock by fcntl, which for writing needs a file that is open for writing (flock(2), NFS details)."""
    with artifacts.writing(tmp_path / "a", "corpus", {}, {}):
        (held,) = [file for file in Path("/proc/self/fd").iterdir() if file.exists() and file.resolve() == tmp_path / "a/.lock"]
        flags = int(Path(f"/proc/self/fdinfo/{held.name}").read_text().split("flags:")[1].split()[0], 8)
        assert flags & os.O_ACCMODE == os.O_RDWR


def test_two_processes_do_not_write_one_artifact(tmp_path: Path) -> None:
    with artifacts.writing(tmp_path / "a", "corpus", {}, {}) as draft:
        draft.write_text("mine.txt", "")
        with (
            pytest.raises(UserError, match="another process is writing"),
            artifacts.writing(tmp_path / "a", "corpus", {}, {}),
        ):
            pass
    assert artifacts.read(tmp_path / "a", "corpus").file("mine.txt").exists()
