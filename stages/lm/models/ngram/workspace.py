"""Arrays for work that may not fit into memory: below a bound they are in memory, beyond it in files that are mapped into it."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Workspace:
    """Hands out arrays; the files of those that are mapped vanish when the last user lets go of them, whatever happens."""

    def __init__(self, mapped: bool, folder: Path | None = None) -> None:
        self.mapped = mapped
        self._folder = tempfile.TemporaryDirectory(dir=folder, prefix="ngrams-") if mapped else None
        self._number = 0

    def zeros(self, length: int, dtype: npt.DTypeLike) -> Array:
        """A new array of zeros."""
        if self._folder is None or length == 0:
            return np.zeros(length, dtype)
        self._number += 1
        file = Path(self._folder.name) / f"{self._number}.bin"
        array = np.memmap(file, dtype, "w+", shape=(length,))
        file.unlink()  # the mapping keeps it alive
        return array


IN_MEMORY = Workspace(mapped=False)
