"""Messages: what goes in comes out, and whatever else comes is refused without harm."""

import json
import struct
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from stages.lm.grading.packing import LIMIT, Malformed, length, pack, unpack

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.integers() | st.text(), below, max_size=4),
    max_leaves=12,
)


@given(PLAIN)
def test_plain_values(value: Any) -> None:
    assert unpack(pack(value)[8:]) == value


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool])
def test_tensors_keep_type_and_shape(dtype: torch.dtype) -> None:
    tensor = torch.arange(6).reshape(2, 3).T.to(dtype)
    found = unpack(pack({"a": [tensor, np.arange(3)]})[8:])["a"]
    assert found[0].dtype == dtype
    assert torch.equal(found[0], tensor)
    assert found[1].tolist() == [0, 1, 2]


def test_a_tensor_twice() -> None:
    tensor = torch.ones(3)
    assert len(unpack(pack([tensor, tensor[1:]])[8:])) == 2


def test_objects_are_refused() -> None:
    with pytest.raises(TypeError, match="type object"):
        pack({"a": object()})


@given(st.binary(max_size=200))
def test_noise(body: bytes) -> None:
    with pytest.raises(Malformed):
        unpack(body)


@pytest.mark.parametrize(
    "text",
    ['{"tensor": "9"}', '{"bytes": "zz"}', '{"a": 1, "b": 2}', "[" * 100_000 + "]" * 100_000, '{"items": [1]}', '{"tensor": []}',
     '{"items": [[[], 1]]}', "{}", '{"items": 3}', "1" * 10_000],
)  # fmt: skip
def test_junk(text: str) -> None:
    body = struct.pack("<Q", len(text)) + text.encode() + save({})
    with pytest.raises(Malformed):
        unpack(body)


def test_a_shape_that_no_memory_holds() -> None:
    head = json.dumps({"a": {"dtype": "F32", "shape": [0, 2**63 - 1, 4], "data_offsets": [0, 0]}}).encode()
    text = b'{"tensor": "a"}'
    with pytest.raises(Malformed):
        unpack(struct.pack("<Q", len(text)) + text + struct.pack("<Q", len(head)) + head)


def test_a_message_has_a_greatest_length() -> None:
    with pytest.raises(Malformed):
        length(struct.pack("<Q", LIMIT + 1))
    with pytest.raises(ValueError, match="MiB"):
        pack(torch.zeros(LIMIT // 4 + 1))


def test_what_is_no_number() -> None:
    assert str(unpack(pack(float("nan"))[8:])) == "nan"
