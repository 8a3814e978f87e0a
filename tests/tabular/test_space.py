import itertools

import pytest
from tests.tabular import tiny

from gcnas.errors import ConfigurationError, SpaceError
from gcnas.graph import Vocabulary
from gcnas.records import STOP, LayerAction
from gcnas.strategy import create_strategy
from gcnas.tabular import Description, Table, TableSpace, make_space

HEAD = "name: made\nkey: key\nreward: score\n"


def _space(decisions: str, more: str = "") -> TableSpace:
    return make_space(Description.parse(f"{HEAD}{more}\ndecisions:\n{decisions}", "here"))


def _layers(*inputs: str | None) -> str:
    """Layer decisions d0, d1, … with these inputs."""
    lines = []
    for number, names in enumerate(inputs):
        given = "" if names is None else f", inputs: [{names}]"
        lines.append(f"  - {{name: d{number}, kind: layer, choices: {{a: skip, b: conv}}{given}}}")
    return "\n".join(lines)


def _all_actions(space: TableSpace) -> list[tuple[LayerAction, ...]]:
    """Every sequence of decisions that the masks leave open."""
    done, growing = [], [space.start()]
    while growing:
        growth = growing.pop()
        types = growth.type_mask()
        if types[-1]:
            done.append(growth.actions)
        for code in range(len(types) - 1):
            if types[code]:
                mask = growth.layer_mask(code)
                options = [[i for i, flag in enumerate(flags) if flag] for flags in mask.hyperparameters]
                edges = [[0, 1] if flag else [0] for flag in mask.connections]
                for chosen in itertools.product(*options, *edges):
                    action = LayerAction(code, chosen[: len(options)], chosen[len(options) :])
                    growing.append(growth.add(action, mask))
    return done


def test_every_sequence_has_a_key_of_its_own_and_comes_back(tiny_table: Table) -> None:
    space = make_space(tiny_table.description)
    actions = _all_actions(space)
    keys = [space.code.key(sequence) for sequence in actions]
    everything = {
        "".join(kind + width for kind, width in parts)
        for layers in (2, 3)
        for parts in itertools.product(itertools.product(tiny.TYPES, tiny.WIDTHS), repeat=layers)
    }
    assert len(keys) == len(everything)
    assert set(keys) == everything
    assert [space.code.actions(key) for key in keys] == actions


def test_an_architecture_says_what_the_tokens_mean(tiny_table: Table) -> None:
    architecture = tiny_table.space.from_key("c2p1c1")
    assert [layer.type for layer in architecture.layers] == ["conv_3x3", "pool", "conv_3x3"]
    assert [layer.values["option_1"] for layer in architecture.layers] == [16, 8, 8]
    # The third layer reads the second and the first, node 1; the first reads node 0.
    assert [layer.inputs for layer in architecture.layers] == [(0,), (1,), (2, 1)]


def test_equal_networks_are_one_architecture(tiny_table: Table) -> None:
    space = tiny_table.space
    first = tiny.networks()
    for row in tiny.rows():
        expected = first[row.network].key
        architecture = space.from_key(row.key)
        assert space.key(architecture) == expected
        assert architecture.fingerprint == space.from_key(expected).fingerprint
        assert space.decode(space.encode(architecture).actions) == architecture
    assert len({space.from_key(row.key).fingerprint for row in tiny.rows()}) == len(first)


def test_decoding_an_architecture_that_is_not_the_first_is_refused(tiny_table: Table) -> None:
    later = next(key for key in tiny_table.space.representatives)
    other = make_space(tiny_table.description).from_key(later)
    with pytest.raises(SpaceError, match="canonical"):
        tiny_table.space.encode(other)


def test_strategies_see_only_open_decisions(tiny_table: Table) -> None:
    space = tiny_table.space
    proposals = create_strategy("random", space, 0).ask(300)
    assert {p.architecture.depth for p in proposals} == {2, 3}
    for proposal in proposals:
        assert proposal.trajectory.actions[-1].type == STOP
        assert proposal.architecture == space.decode(proposal.trajectory.actions)
        assert not any(any(mask.connections) for mask in proposal.trajectory.masks)


def test_types_and_heads_are_shared_between_places() -> None:
    widths = "\n".join(
        f"  - {{name: w{i}, kind: hyperparameter, of: layer{i}, choices: {{1: 0.25, 2: 0.5, 3: 1}}}}"
        for i in range(7)
    )
    space = _space(widths)
    vocabulary = Vocabulary(space)
    assert (space.min_depth, space.max_depth, len(space.layer_types)) == (7, 7, 1)
    assert vocabulary.heads == (("option_1", (0.25, 0.5, 1)),)


def test_hyperparameters_with_other_options_have_a_head_of_their_own() -> None:
    space = _space(
        "  - {name: a, kind: layer, choices: {x: conv, y: pool}}\n"
        "  - {name: aw, kind: hyperparameter, of: a, choices: {1: 8, 2: 16}}\n"
        "  - {name: ak, kind: hyperparameter, of: a, choices: {1: small, 2: large}}\n"
        "  - {name: b, kind: layer, choices: {x: conv, y: pool}}\n"
        "  - {name: bw, kind: hyperparameter, of: b, choices: {2: 16, 1: 8}}\n"
    )
    assert Vocabulary(space).heads == (("option_1", (8, 16)), ("option_2", ("small", "large")))
    assert len(space.layer_types) == 4
    assert [place.types for place in space.places] == [(True, True, False, False), (False, False, True, True)]
    # Numbers are put in order, but a token keeps its meaning.
    assert space.from_key("x12y2").layers[1].values == {"option_1": 16}
    assert space.from_key("x12y2").layers[0].values == {"option_1": 8, "option_2": "large"}


def test_decisions_of_one_layer_may_lie_apart_in_the_key() -> None:
    space = _space(
        "  - {name: a, kind: layer, choices: {x: conv, y: pool}}\n"
        "  - {name: b, kind: layer, choices: {x: conv, y: pool}}\n"
        "  - {name: aw, kind: hyperparameter, of: a, choices: {1: 8, 2: 16}}\n"
        "  - {name: bw, kind: hyperparameter, of: b, choices: {1: 8, 2: 16}}\n"
    )
    layers = space.from_key("xy21").layers
    assert [(layer.type, layer.values["option_1"]) for layer in layers] == [("conv", 16), ("pool", 8)]
    assert space.key(space.from_key("xy21")) == "xy21"
    apart = "  - {name: a, kind: layer, choices: {x: c}}\n  - {name: b, kind: layer, choices: {x: c}}\n"
    apart += "  - {name: aw, kind: hyperparameter, of: a, choices: {1: 8}}\n"
    with pytest.raises(ConfigurationError, match="follow one another"):
        _space(apart, "length: [1, 3]")


def test_connections_of_a_cell() -> None:
    # NAS-Bench-201: edge d3 goes from node 0 and so reads the cell's input; d5 reads the edges that end at node 2.
    space = _space(_layers(None, None, "d0", None, "d0", "d1, d2"))
    assert space.given == ((1,), (2,), (2,), (4,), (4,), (3, 4))
    assert space.window == 4
    assert [layer.inputs for layer in space.from_key("aaaaaa").layers] == [(0,), (0,), (1,), (0,), (1,), (3, 2)]


def test_without_inputs_layers_form_a_chain() -> None:
    space = _space(_layers(None, None, None, None, None, None))
    assert space.given == ((1,),) * 6
    assert space.window == 4
    assert _space(_layers(None, None)).window == 2
    assert _space(_layers(None, None, None), "connections: {window: 3}").window == 3
    with pytest.raises(ConfigurationError, match="2 layers back"):
        _space(_layers(None, None, "d0"), "connections: {window: 1}")


def test_searched_connections_are_further_tokens() -> None:
    space = _space(_layers(None, None, None), "connections: {searched: true, window: 3}\nlength: [1, 6]")
    assert space.given is None
    assert (space.min_depth, space.max_depth, space.window) == (1, 3, 3)
    actions = _all_actions(space)
    # Layer 1 has no connection to decide, layer 2 one (to node 0), layer 3 two (to nodes 1 and 0).
    assert len(actions) == 2 + 2 * 4 + 2 * 4 * 8
    assert [layer.inputs for layer in space.from_key("ab1a01").layers] == [(0,), (1, 0), (2, 0)]
    keys = [space.code.key(sequence) for sequence in actions]
    assert sorted({len(key) for key in keys}) == [1, 3, 6]
    for sequence, key in zip(actions, keys, strict=True):
        assert space.code.actions(key) == sequence
        assert space.key(space.decode(sequence)) == key


def test_length_counts_tokens_or_layers() -> None:
    pairs = "".join(
        f"  - {{name: l{i}, kind: layer, choices: {{a: x, b: y}}}}\n"
        f"  - {{name: w{i}, kind: hyperparameter, of: l{i}, choices: {{1: 1, 2: 2}}}}\n"
        for i in range(3)
    )
    for length in ("[3, 6]", "[4, 6]", "[2, 3]"):
        space = _space(pairs, f"length: {length}")
        assert (space.min_depth, space.max_depth) == (2, 3)
        assert set(space.code.lengths) == {4, 6}


def test_long_tokens_are_separated_by_commas() -> None:
    space = _space(
        "  - {name: a, kind: layer, choices: {10: x, 2: y}}\n  - {name: b, kind: layer, choices: {10: x, 2: y}}\n"
    )
    assert space.key(space.from_key("10, 2")) == "10,2"
    assert _space(_layers(None, None)).code.checked("a,b") == "ab"


def test_names_of_types_are_made_from_meanings() -> None:
    space = _space("  - {name: a, kind: layer, choices: {0: Conv 3*3, 1: conv-3-3, 2: 3x3, 3: 합성곱}}\n")
    assert [kind.name for kind in space.layer_types] == ["conv_3_3", "conv_3_3_2", "layer_3x3", "layer"]


def test_many_names_of_one_stem(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ", ".join(f"k{number}: {chr(0xAC00 + number)}" for number in range(400))
    layer = f"  - {{name: a, kind: layer, choices: {{{words}}}}}\n"
    names = [kind.name for kind in _space(layer).layer_types]
    assert names == ["layer", *(f"layer_{number}" for number in range(2, 401))]
    monkeypatch.setattr("gcnas.tabular.layout.MAX_TYPES", 399)
    with pytest.raises(ConfigurationError, match="at most 399 kinds"):
        _space(layer)


@pytest.mark.parametrize("key", ["", "a", "aaa", "ac", "a b"])
def test_keys_that_do_not_fit(key: str) -> None:
    with pytest.raises(SpaceError):
        _space(_layers(None, None)).code.checked(key)


def test_decisions_that_do_not_fit() -> None:
    space = _space(
        "  - {name: a, kind: layer, choices: {x: conv}}\n  - {name: b, kind: layer, choices: {x: pool}}\n"
    )
    for actions in ([LayerAction(1, (), (0,)), LayerAction(1, (), (0,))], [LayerAction(0, (), (0,))] * 3):
        with pytest.raises(SpaceError):
            space.decode(actions)


def test_without_inputs_a_chain_and_with_empty_ones_the_input_alone() -> None:
    chain, apart = _space(_layers(None, None, None)), _space(_layers("", "", ""))
    assert [layer.inputs for layer in chain.from_key("aba").layers] == [(0,), (1,), (2,)]
    assert [layer.inputs for layer in apart.from_key("aba").layers] == [(0,), (0,), (0,)]
