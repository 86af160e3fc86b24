"""Mistakes in settings are told by the key's path and what is allowed there."""

from typing import Annotated, Literal

import pytest
from pydantic import Field

from stages.lm.errors import UserError
from stages.lm.settings import Settings, parse


class Cat(Settings):
    family: Literal["cat"]
    lives: int = Field(default=9, ge=1)


class Dog(Settings):
    family: Literal["dog"]
    weight: float | None = None
    betas: tuple[float, float] = (0.9, 0.95)


class House(Settings):
    pets: dict[str, Annotated[Cat | Dog, Field(discriminator="family")]] = {}
    rooms: list[str] = []


class Ruler(Settings):
    marks: list[list[float]] = []
    rows: list[int] | list[list[int]] = []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"petz": {}}, "house.petz: unknown key 'petz'; did you mean 'pets'? allowed: pets, rooms"),
        ({"pets": {"tom": {"family": "cat", "live": 3}}}, "house.pets.tom.live: unknown key 'live'; did you mean 'lives'?"),
        (
            {"pets": {"cat": {"family": "cat", "lives": "two"}}},
            "house.pets.cat.lives: input should be a valid integer, not 'two'",
        ),
        (
            {"pets": {"tom": {"family": "cat", "lives": 0}}},
            "house.pets.tom.lives: input should be greater than or equal to 1, not 0",
        ),
        ({"pets": {"tom": {"family": "cow"}}}, "house.pets.tom.family: unknown family 'cow'; allowed: cat, dog"),
        ({"pets": {"tom": {}}}, "house.pets.tom.family: this key is required; allowed: cat, dog"),
        ({"rooms": "kitchen"}, "house.rooms: input should be a valid list, not 'kitchen'"),
        ({"rooms": ["kitchen", 3]}, "house.rooms.1: input should be a valid string, not 3"),
    ],
)
def test_messages_name_the_path_as_written(data: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(House, data, "house")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_that_arrive_as_text_are_numbers() -> None:
    assert parse(Cat, {"family": "cat", "lives": "7"}, "").lives == 7
    assert parse(House, {"rooms": ["1"]}, "").rooms == ["1"]
    assert parse(Dog, {"family": "dog", "weight": "3e-4"}, "").weight == 3e-4
    assert parse(Dog, {"family": "dog", "betas": ["9e-1", 0.95]}, "").betas == (0.9, 0.95)
    assert parse(Ruler, {"marks": [["1", "2"], ["3e2"]], "rows": ["4"]}, "") == Ruler(marks=[[1, 2], [3e2]], rows=[4])
    with pytest.raises(UserError, match="valid integer"):
        parse(Cat, {"family": "cat", "lives": "1e1"}, "")


def test_resolved_settings_round_trip() -> None:
    house = parse(House, {"pets": {"rex": {"family": "dog", "betas": [0.8, 0.9]}}}, "")
    assert house.resolved()["pets"]["rex"] == {"family": "dog", "weight": None, "betas": [0.8, 0.9]}
    assert parse(House, house.resolved(), "") == house


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_numbers_are_finite(value: float) -> None:
    with pytest.raises(UserError, match="finite"):
        parse(Dog, {"family": "dog", "weight": value}, "pet")
