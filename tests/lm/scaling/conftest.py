"""Few bootstrap samples: what is tested does not depend on how many there are."""

import pytest

from stages.lm.scaling import findings


@pytest.fixture(autouse=True)
def _few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "SAMPLES", 50)
