"""Submissions that misbehave, in real processes: each loses its own points, is told why, and touches nothing else."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from unittest.mock import ANY

import pytest
import torch

from stages.lm.errors import UserError
from stages.lm.grading.examinee import Answered, Examinee, examined
from stages.lm.grading.isolation import UNSEEN
from stages.lm.grading.processes import resident
from stages.lm.grading.rubric import Limits
from stages.lm.grading.submission import files

X = {"x": torch.tensor([0.0, 1.0])}
Start = Callable[..., Examinee]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Hand in this code."""
    with ExitStack() as stack:

        def handed_in(code: str, **limits: float) -> Examinee:
            folder = tmp_path / "submission"
            folder.mkdir()
            (folder / "adapters.py").write_text(code)
            return stack.enter_context(examined(folder, Limits(**({"seconds": 5.0} | limits)), "adapters"))

        yield handed_in


def test_an_answer_is_a_value(start: Start) -> None:
    answered = start("def silu(x):\n    print('{\"score\": 100}')\n    return x * x.sigmoid()").ask("silu", X)
    assert answered.fault is None
    assert torch.equal(answered.value, X["x"] * X["x"].sigmoid())


def test_an_endless_loop_is_stopped_and_the_next_question_answered(start: Start) -> None:
    examinee = start("def silu(x):\n    while True: pass\ndef linear(weight, x): return x", seconds=1.5)
    assert examinee.ask("silu", X).fault == "did not end within 1.5 s and was stopped"
    assert examinee.ask("linear", {"weight": X["x"], "x": X["x"]}).fault is None


MISBEHAVIOUR = {
    "leaves": ("import os; os._exit(0)", "ended the process it ran in with exit code 0"),
    "exits": ("import sys; sys.exit(3)", "raised SystemExit: 3, in adapters.py, line 2"),
    "crashes": ("import ctypes; ctypes.string_at(0)", "was ended by the system with SIGSEGV"),
    "takes 100 GB": ("return bytearray(100 << 30)", "asked for more memory than there is for it"),
    "fills its disk": ("open('big', 'wb').write(bytes(500 << 20))", "raised OSError: [Errno"),
    "hands in an object": ("return object()", "raised TypeError: a value of type object"),
    "is no answer": ("raise NotImplementedError", "is not implemented yet"),
}


@pytest.mark.parametrize(("line", "fault"), MISBEHAVIOUR.values(), ids=MISBEHAVIOUR)
def test_misbehaviour(line: str, fault: str, start: Start) -> None:
    examinee = start(f"def silu(x):\n    {line}\ndef linear(weight, x): return x")
    assert (examinee.ask("silu", X).fault or "").startswith(fault)
    assert examinee.ask("linear", {"weight": X["x"], "x": X["x"]}).fault is None


def test_nothing_outside_its_folder_is_written_or_read(start: Start, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("rubric")
    examinee = start(
        f"from pathlib import Path\ndef silu(x):\n    Path({str(tmp_path / 'forged')!r}).write_text('x')\n"
        f"def softmax(x, dim):\n    return Path({str(tmp_path / 'secret')!r}).read_text()\n"
        "def embedding(weight, token_ids):\n    Path(__file__).write_text('x')\n"
    )
    for check, given in (("silu", X), ("softmax", X | {"dim": 0}), ("embedding", {"weight": X["x"], "token_ids": X["x"]})):
        assert (examinee.ask(check, given).fault or "").startswith("raised PermissionError")
    assert not (tmp_path / "forged").exists()


def test_a_submission_ends_with_its_grader(root: Path, tmp_path: Path) -> None:
    """Even where it loops and the grader is killed outright."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other/adapters.py").write_text("while True: pass")
    command = [
        sys.executable,
        "-m",
        "stages.grade",
        "try",
        str(tmp_path / "other"),
        "--rubric",
        "config/grading/project-1.2.yaml",
    ]
    grader = subprocess.Popen(command, cwd=root, env=os.environ | {"TMPDIR": str(tmp_path)})
    while not (found := [pid for scratch in tmp_path.glob("grading-*/work") for pid in running(scratch)]):
        assert grader.poll() is None
        time.sleep(0.1)
    grader.kill()
    grader.wait()
    assert ended(found)


def test_the_grader_cannot_be_killed(start: Start) -> None:
    examinee = start("import os\ndef silu(x):\n    os.kill(os.getppid(), 9)\n    return x")
    examinee.ask("silu", X)
    assert examinee.ask("linear", X).fault == "adapters.py has no `linear`"


CHANCE = """
import os, random, tempfile
import numpy, torch

def pretokenize(text):
    drawn = [random.random(), numpy.random.rand(), float(torch.rand(1))]
    return [*set(text), *map(str, drawn)]

def silu(x):
    folder = tempfile.mkdtemp()
    raise ValueError(f"{folder} {os.getcwd()} {os.getcwd()}/x {object()}")
"""


def test_what_is_left_to_chance_is_the_same_in_every_run(start: Start) -> None:
    """The order of a set, random numbers, and names that are drawn."""
    examinee, found = start(CHANCE, seconds=30), []
    for _ in range(2):
        found.append((examinee.ask("pretokenization", {"text": "abcdefghijklmno"}).value, examinee.ask("silu", X).fault))
        examinee.stop()
    assert found[0] == found[1]
    assert found[0][1] == "raised ValueError: tmp… . x <object object at 0x…>, in adapters.py, line 11"


def test_there_is_no_network(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket\ndef silu(x):\n    socket.create_connection(('127.0.0.1', {port}), timeout=2)\n    return x"
        assert (start(code).ask("silu", X).fault or "").startswith("raised ")


def test_what_it_leaves_running_ends_with_it(start: Start) -> None:
    examinee = start(
        "import os, time\ndef silu(x):\n    if os.fork() == 0:\n        os.setsid()\n        time.sleep(1000)\n    return x"
    )
    assert examinee.ask("silu", X).fault is None
    found = running(examinee.work)
    assert len(found) >= 2
    assert within_a_minute(lambda: {state(pid) for pid in found} == {"T"}), "nothing runs between two questions"
    assert examinee.ask("silu", X).fault is None
    examinee.stop()
    assert ended(found)


def ended(processes: list[str]) -> bool:
    """Whether these processes come to their end.

    What is left of one that nobody waits for has no memory: in containers the first process need not be one that does.
    """
    return within_a_minute(lambda: not any(map(resident, processes)))


def within_a_minute(holds: Callable[[], bool]) -> bool:
    """Whether something comes to hold: a busy machine takes its time."""
    until = time.monotonic() + 60
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def state(pid: str) -> str:
    """R for a process that runs, S for one that waits, T for one that was told to stand still."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def running(folder: Path) -> list[str]:
    """The processes whose working folder this is."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found += [process.name] if (process / "cwd").readlink() == folder else []
    return found


FORGED = """
import gc, os, struct, sys
def silu(x):
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, {message!r})
        except OSError:
            pass
    return x * 0
"""


@pytest.mark.parametrize(
    "message", [b"x" * 64, (40).to_bytes(8, "little") + b"y" * 40, b"\xff" * 8], ids=["noise", "junk", "long"]
)
def test_what_was_not_asked_for_counts_for_nothing(message: bytes, start: Start) -> None:
    answered = start(FORGED.format(message=message)).ask("silu", X)
    assert answered.fault is not None or torch.equal(answered.value, X["x"] * 0)


def test_what_cannot_be_imported_is_told_once(start: Start) -> None:
    examinee = start("import numpy\nimport nothing_of_this_name")
    reason = "raised ModuleNotFoundError: No module named 'nothing_of_this_name', in adapters.py, line 2"
    assert examinee.ask("silu", X).fault == examinee.unusable == f"adapters.py cannot be imported: it {reason}"


def test_the_time_for_everything_is_bounded(start: Start) -> None:
    examinee = start("import time\ndef silu(x):\n    time.sleep(0.6)\n    return x", total_seconds=0.5)
    assert examinee.ask("silu", X).fault is None
    assert examinee.ask("silu", X).fault == "was not run: what came before took more than 0.5 s in all"


def test_the_project_is_not_there_to_be_imported(start: Start) -> None:
    fault = start("def silu(x):\n    from stages.lm.models.functional import silu\n    return silu(x)").ask("silu", X).fault
    assert (fault or "").startswith("raised ModuleNotFoundError")


def test_no_right_answers_are_in_its_process(start: Start) -> None:
    """Of this project there are probes, and what carries questions and answers."""
    code = (
        "import gc\nfrom types import FunctionType\ndef pretokenize(text):\n"
        "    return sorted({str(kept.__module__) for kept in gc.get_objects() if isinstance(kept, FunctionType)})"
    )
    ours = {name for name in start(code).ask("pretokenization", {"text": ""}).value if name.startswith("stages.")}
    assert {name for name in ours if not name.startswith("stages.lm.grading.checks.")} == {
        "stages.lm.grading.isolation",
        "stages.lm.grading.packing",
    }


def test_it_may_use_processes_of_its_own(start: Start) -> None:
    code = (
        "from multiprocessing import Pool\nimport torch\ndef silu(x):\n"
        "    with Pool(2) as pool:\n        return torch.tensor(pool.map(abs, x.tolist()))"
    )
    assert start(code).ask("silu", X) == Answered(ANY, None, ANY, ANY)


GREEDY = """
import os, sys, time
def silu(x):
    for _ in range(8):
        if os.fork() == 0:
            kept = b"x" * (300 << 20)
            time.sleep(60)
    answers = int(sys.argv[6])
    os.write(answers, (1 << 20).to_bytes(8, "little"))
    while True:
        time.sleep(0.05)
        {meanwhile}
"""


@pytest.mark.parametrize("meanwhile", ["pass", "os.write(answers, b'x')"], ids=["in silence", "while it answers byte by byte"])
def test_many_processes_have_no_more_memory_than_one(meanwhile: str, start: Start) -> None:
    fault = start(GREEDY.format(meanwhile=meanwhile), memory_mb=2000, seconds=60).ask("silu", X).fault
    assert fault == "took more memory in all its processes than there is for it"


def test_other_processes_are_not_seen(start: Start) -> None:
    examinee = start("import os\ndef silu(x):\n    return len([n for n in os.listdir('/proc') if n.isdecimal()])")
    answered = examinee.ask("silu", X)
    if UNSEEN not in examinee.isolation:
        pytest.skip("the system lets no process have a /proc of its own")
    assert answered.value == 1


def test_a_submission_without_its_file(start: Start) -> None:
    examinee = start("")
    (examinee.folder / "adapters.py").unlink()
    assert examinee.ask("silu", X).fault == "there is no adapters.py at the top of the submission"


def test_what_is_no_file_or_cannot_be_read_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "submission"
    folder.mkdir()
    (folder / "link.py").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe.py")
    for name in ("adapters.py", "secret.py"):
        (folder / name).write_text("")
    is_readable = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "secret.py" and is_readable(path, mode))
    assert [path.name for path in files(folder)] == ["adapters.py"]
    with examined(folder, Limits(), "adapters") as examinee:
        assert [path.name for path in examinee.folder.iterdir()] == ["adapters.py"]


REFUSED = """
import os, sys
from pathlib import Path
from stages.lm.grading import isolation

def refuse(path, text):
    raise PermissionError(1, "Operation not permitted", str(path))

before, Path.write_text = os.readlink("/proc/self/ns/user"), refuse
assert isolation.enter_namespaces(Path.cwd(), isolation.Bounds(1, 1, 1, 1)) == []
assert os.readlink("/proc/self/ns/user") == before
"""


def test_a_system_that_grants_namespaces_by_halves(root: Path) -> None:
    """As some distributions do, where users without privileges get a user namespace whose maps they may not write."""
    subprocess.run([sys.executable, "-c", REFUSED], cwd=root, check=True)


def test_why_it_does_not_start_is_said(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "child.py").write_text("raise OSError('no room')")
    monkeypatch.setattr("stages.lm.grading.examinee.CHILD", tmp_path / "child.py")
    with pytest.raises(UserError, match=r"does not start: it ended .* with exit code 1 \(OSError: no room\)"):
        start("").ask("silu", X)


def test_it_is_said_what_was_in_force(start: Start) -> None:
    examinee = start("")
    examinee.ask("silu", X)
    assert "bounds on memory, time and files" in examinee.isolation
