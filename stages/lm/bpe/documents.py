"""Documents as they lie in memory: one run of UTF-8 bytes and where each document begins."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Documents:
    """Some documents: document i is data[offsets[i]:offsets[i + 1]]."""

    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]

    @classmethod
    def of_column(cls, column: Any) -> Self:
        """The strings of an Arrow array, without copying them."""
        import pyarrow as pa

        strings = column.cast(pa.large_string())
        _, offsets, data = strings.buffers()
        begin = strings.offset
        text = np.frombuffer(data if data is not None else b"", np.uint8)
        return cls(text, np.frombuffer(offsets, np.int64)[begin : begin + len(strings) + 1])

    @classmethod
    def of_bytes(cls, data: bytes) -> Self:
        """One document."""
        return cls(np.frombuffer(data, np.uint8), np.array([0, len(data)]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def size(self) -> int:
        """Bytes of all documents."""
        return int(self.offsets[-1] - self.offsets[0])

    def text(self, index: int) -> str:
        """One document; bytes that are not valid UTF-8 become surrogates, as with `surrogateescape`."""
        return self.data[self.offsets[index] : self.offsets[index + 1]].tobytes().decode("utf-8", "surrogateescape")

    def texts(self) -> list[str]:
        return [self.text(index) for index in range(len(self))]
