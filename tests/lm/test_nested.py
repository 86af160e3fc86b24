"""Nested mappings by path."""

from stages.lm.nested import leaves


def test_what_is_no_mapping_has_a_path() -> None:
    values = {"model": {"d_model": 32, "shape": {"aspect": 8.0}}, "training.steps": 3, "none": {}, "list": [{"a": 1}]}
    expected = {"model.d_model": 32, "model.shape.aspect": 8.0, "training.steps": 3, "none": {}, "list": [{"a": 1}]}
    assert dict(leaves(values)) == expected
    assert list(leaves({"a": {"b": {1: 2}}}, "/")) == [("a/b/1", 2)]
