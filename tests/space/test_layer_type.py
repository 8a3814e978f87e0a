from typing import ClassVar

import pytest
import torch

from gcnas.errors import SpaceError
from gcnas.network import build
from gcnas.records import HyperparameterValue
from gcnas.space import Choice, InputShape, LayerType, SearchSpace, Shape
from gcnas.space.layer_type import Values
from gcnas.space.presets.cnn import Conv2d
from gcnas.strategy import RandomStrategy


def test_names_follow_from_the_class() -> None:
    class MyOwnType(LayerType):
        pass

    class Conv3x3(LayerType):
        pass

    class Named(MyOwnType):
        name = "another_name"

    class Derived(Named):
        pass

    names = [cls.name for cls in (MyOwnType, Conv3x3, Named, Derived)]
    assert names == ["my_own_type", "conv3x3", "another_name", "derived"]


@pytest.mark.parametrize("wrong", ["", "Upper", "with space", "1st", "hy-phen", "a" * 41, "ünicode", 5, None])
def test_names_that_cannot_be_used(wrong: object) -> None:
    with pytest.raises(SpaceError, match="form 'my_type'"):
        type("Wrong", (LayerType,), {"name": wrong})


def test_a_class_name_that_cannot_be_used() -> None:
    with pytest.raises(SpaceError, match="'_private'"):
        type("_Private", (LayerType,), {})


def test_a_choice_called_name_is_no_name() -> None:
    with pytest.raises(SpaceError, match="form 'my_type'"):

        class Wrong(LayerType):
            name: ClassVar[Choice] = Choice("a", "b")  # type: ignore[assignment]


def test_choices_are_those_of_the_bases_first() -> None:
    class Base(LayerType):
        first = Choice(1, 2)
        second = Choice(1, 2)

    class Derived(Base):
        third = Choice(1, 2)
        first = Choice(5, 6, 7)

    class Last(Derived):
        fourth = Choice(0, 1)

    assert [choice.name for choice in Base.choices] == ["first", "second"]
    assert [choice.name for choice in Derived.choices] == ["first", "second", "third"]
    assert [len(choice) for choice in Derived.choices] == [3, 2, 2]
    assert [choice.name for choice in Last.choices] == ["first", "second", "third", "fourth"]
    assert [len(choice) for choice in Base.choices] == [2, 2]


def test_choices_of_a_class_that_is_no_layer_type_count_as_well() -> None:
    class Sized:
        size = Choice(3, 5)

    class Mixed(Sized, LayerType):
        width = Choice(8, 16)

    assert [choice.name for choice in Mixed.choices] == ["size", "width"]


def test_one_choice_cannot_have_two_names() -> None:
    shared = Choice(1, 2)

    class Allowed(LayerType):
        size = shared

    class AllowedToo(LayerType):
        size = shared

    with pytest.raises(SpaceError, match="other of wrong is the same Choice as size"):

        class Wrong(LayerType):
            other = shared

    assert [choice.name for choice in (*Allowed.choices, *AllowedToo.choices)] == ["size", "size"]


@pytest.mark.parametrize("options", [(1, 2), ("sum", "concat"), ("add", "concat", "max")])
def test_options_of_merge_are_known(options: tuple[int | str, ...]) -> None:
    with pytest.raises(SpaceError, match="'add' and 'concat'"):
        type("Wrong", (LayerType,), {"merge": Choice(*options)})


@pytest.mark.parametrize("options", [(0, 1), (-1,), (1.5, 2.0), ("same", "half")])
def test_options_of_stride_are_whole_numbers(options: tuple[int | str, ...]) -> None:
    with pytest.raises(SpaceError, match="options of stride are whole numbers from 1"):
        type("Wrong", (LayerType,), {"stride": Choice(*options)})


def test_values_and_options_by_name() -> None:
    layer_type = Conv2d()
    values = layer_type.values((8, 1, 0, 1, 0, 2, 1))
    assert values == {
        "filters": 128,
        "stride": 2,
        "activation": "relu",
        "dropout": 0.1,
        "merge": "add",
        "kernel_size": 5,
        "dilation": 2,
    }
    assert layer_type.options("kernel_size") == (1, 3, 5)
    assert layer_type.options("expansion") == ()


def test_the_rules_are_the_users_to_give() -> None:
    class Nothing(LayerType):
        pass

    for rule in (Nothing().output_shape, Nothing().cost, Nothing().build):
        with pytest.raises(NotImplementedError):
            rule(Shape(1, 2, 2), {})


def test_a_stride_that_is_never_1_needs_a_canonical_form() -> None:
    with pytest.raises(SpaceError, match=r"\(2, 4\), without 1.*override canonical"):
        type("Down", (LayerType,), {"stride": Choice(2, 4)})

    class Down(LayerType):
        stride = Choice(2, 4)

        def canonical(self, shape: Shape, values: Values) -> dict[str, HyperparameterValue] | None:
            return dict(values) if shape.allows(int(values["stride"])) else None

    assert Down().canonical(Shape(1, 2, 2), {"stride": 4}) is None


def test_a_stride_without_room_is_1_by_default() -> None:
    class Strided(LayerType):
        stride = Choice(1, 2, 4)

    form = [Strided().canonical(Shape(1, 6, 9), {"stride": stride}) for stride in (1, 2, 4)]
    assert form == [{"stride": 1}, {"stride": 2}, {"stride": 1}]


def test_the_canonical_form_is_a_new_mapping() -> None:
    values = {"filters": 8, "stride": 2, "kernel_size": 3, "dilation": 2}
    Conv2d().canonical(Shape(1, 2, 2), values)
    assert values == {"filters": 8, "stride": 2, "kernel_size": 3, "dilation": 2}


def test_types_made_from_ours_keep_their_options() -> None:
    with pytest.raises(SpaceError, match="without 1"):
        type("Down", (Conv2d,), {"stride": Choice(2)})

    class Far(Conv2d):
        dilation = Choice(2, 3)

    space = SearchSpace("far", (Far(),), max_depth=4).fit(InputShape(1, 12, 12, 5))
    for proposal in RandomStrategy(space, 0).ask(40):
        assert space.cost(proposal.architecture).parameters > 0
        build(space, proposal.architecture, (0.0,), (1.0,))(torch.rand(2, 1, 12, 12))
