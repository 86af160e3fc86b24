"""What a machine says of code."""

from pathlib import Path

from stages.lm.grading.code_report import code_report

CODE = '''
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import AdamW as Optimizer


def documented(x: int) -> int:
    """It is."""
    return x


class Model(nn.Module):
    def __init__(self, d):
        self.layer = nn.Linear(d, d)
        self.weight = nn.Parameter(torch.zeros(d))

    def forward(self, x):
        return F.softmax(self.layer(x), -1)
'''


def test_a_report(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(CODE)
    (tmp_path / "broken.py").write_text("def (:")
    (tmp_path / "deep.py").write_text("(" * 10_000)
    (tmp_path / "long.py").write_text(f"import a\na{'.b' * 2000}")
    (tmp_path / "hidden.pyc").write_bytes(bytes.fromhex("a70d0d0a") + bytes(12))
    (tmp_path / "notes.txt").write_text("import torch.optim")
    report = code_report(tmp_path, ["torch.nn.Linear", "torch.nn.functional", "torch.optim.AdamW"])
    assert (report.files, report.functions, report.documented, report.annotated) == (5, 3, 1, 1)
    assert report.longest == (3, "documented in model.py") or report.longest[0] == 3
    assert report.unreadable == ["broken.py", "deep.py", "hidden.pyc", "long.py"]
    assert sorted(report.ready_made) == [
        "torch.nn.Linear in model.py, line 15",
        "torch.nn.functional in model.py, line 3",
        "torch.optim.AdamW in model.py, line 5",
    ]
