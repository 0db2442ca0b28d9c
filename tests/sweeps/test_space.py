"""The search space: Hydra's grammar, conditions, and mistakes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dlcli.config.hydra_problems import problem_of
from dlcli.errors import ConfigError
from dlcli.sweeps.dimension import Choice, Range, as_override
from dlcli.sweeps.space import Space, read_domain, read_space, size, values_by_key
from dlcli.sweeps.space_parser import combined_space, domains_of, separate
from dlcli.sweeps.sweep_options import Sweep
from dlcli.sweeps.validation import naming_values

CONDITIONAL = {
    "model": "mlp,lstm",
    "optimizer.lr": "tag(log,interval(1e-4,1e-1))",
    "model=mlp": {"model.hidden": "choice(8,16)"},
    "model=lstm": {"model.hidden": "choice(32,64)", "model.layers": "range(1,4)"},
}


def options(group: str) -> Sequence[str]:
    return ["mlp", "lstm", "gru"] if group == "model" else []


def space(section: dict[str, Any]) -> Space:
    return read_space(section, options)


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("1,2,b", Choice((1, 2, "b"))),
        ("true,null,'x y'", Choice((True, None, "x y"))),
        ("[8,8],[16]", Choice(([8, 8], [16]))),
        ("glob(*)", Choice(("mlp", "lstm", "gru"))),
        ("range(1,5)", Range(1, 4, 1)),
        ("range(0,10,3)", Range(0, 9, 3)),
        ("range(0,1,0.25)", Range(0, 0.75, 0.25)),
        ("interval(1,5)", Range(1.0, 5.0)),
        ("int(interval(1,5))", Range(1, 5, 1)),
        ("tag(log,interval(1e-5,0.1))", Range(1e-5, 0.1, log=True)),
        ("tag(log,int(interval(1,100)))", Range(1, 100, 1, log=True)),
    ],
)
def test_a_domain_in_hydra_s_grammar_is_read(text: str, domain: Choice | Range) -> None:
    assert read_domain("model", text, options) == domain


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ({"optimizer.lr": 0.1}, "is a single value"),
        ({"optimizer.lr": "choice(1"}, "is not closed"),
        ({"optimizer.lr": "tag(log,interval(0,1))"}, "must begin above 0"),
        ({"optimizer.lr": "tag(fast,interval(0,1))"}, "has no tag fast"),
        ({"optimizer.lr": "interval(1,0)"}, "a lower and an upper bound"),
        ({"model.layers": "range(3,3)"}, "contains no value"),
        ({"model": "glob(x*)"}, "contains no value"),
        ({"model": "mlp,lstm", "model=gru": {"model.layers": "1,2"}}, "model is never gru"),
        ({"model=gru": {"model.layers": "1,2"}}, "Make model a choice"),
        ({**CONDITIONAL, "model.hidden": "1,2"}, "is varied twice"),
        ({"model": {"hidden": "1,2"}}, "neither a dimension nor a condition"),
        ({"model.layers": []}, "contains no value"),
        ({1: 2}, "cannot be read"),
    ],
)
def test_invalid_spaces_are_refused(section: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        space(combined_space(section, {}, {}, []))


@pytest.mark.parametrize(
    ("words", "fixed", "varied"),
    [
        (["a=1,2", "b=3"], ["b=3"], {"a": "1,2"}),
        (["a=1,2", "a=3"], ["a=3"], {}),
        (["a=3", "a=1,2"], [], {"a": "1,2"}),
    ],
)
def test_the_last_override_of_a_key_is_used(
    words: list[str], fixed: list[str], varied: dict[str, str]
) -> None:
    assert separate(words) == (fixed, varied)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("0.5", 0.5), ("90s", 90), ("1h30m", 5400), ("2d", 172800), ("1h30", None), ("0", None), ("", None)],
)  # fmt: skip
def test_a_time_limit_may_have_units(text: str, seconds: float | None) -> None:
    if seconds is not None:
        assert Sweep(timeout=text).seconds == seconds
    else:
        with pytest.raises(ConfigError, match="not a duration"):
            Sweep(timeout=text).seconds  # noqa: B018 it raises


def test_a_list_holds_its_values_as_they_are() -> None:
    values = [None, True, 0.1, "a, b", "choice(1", [8, 8]]
    (dimension,) = space(combined_space({"model.x": values}, {}, {}, [])).dimensions
    assert dimension.domain == Choice(tuple(values))


def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        space({"a": 1, "b": "choice(", "c": "1,2"})
    assert len(caught.value.problems) == 2


def test_keys_that_exist_only_with_one_model() -> None:
    found = space(CONDITIONAL)
    assert found.first == {"model": "mlp", "optimizer.lr": 1e-4, "model.hidden": 8}
    last = found.walk(lambda dimension: dimension.domain.values_in_order()[-1])
    assert last == {"model": "lstm", "optimizer.lr": 1e-1, "model.hidden": 64, "model.layers": 3}
    assert found.points is None
    countable = space({key: value for key, value in CONDITIONAL.items() if key != "optimizer.lr"})
    assert countable.points == 2 + 2 * 3
    assert len({str(point) for point in countable.all_points}) == 8 == len(countable.all_points)


def test_how_a_space_reads() -> None:
    found = space({**CONDITIONAL, "model=mlp": {"model.hidden": "32,64"}, "epochs": "range(1,10,3)"})
    assert values_by_key(found) == {
        "model": "mlp, lstm",
        "optimizer.lr": "0.0001 to 0.1, logarithmic",
        "model.hidden": "32, 64 with model=mlp or model=lstm",
        "model.layers": "1 to 3, whole numbers with model=lstm",
        "epochs": "1 to 7 in steps of 3",
    }
    assert size(found) == "infinitely many points"


def test_what_is_written_first_may_depend_on_what_follows() -> None:
    found = space(
        {
            "cell=gru": {"bias": "true,false"},
            "model=lstm": {"cell": "lstm,gru", "cell=gru": {"model.layers": "1,2"}},
            "model": "mlp,lstm",
        }
    )
    assert [dimension.key for dimension in found.dimensions] == ["model", "cell", "bias", "model.layers"]
    assert found.points == 1 + 1 + 2 * 2 == len(found.all_points)
    for dimension, params in found.neighbours():
        assert dimension.exists(params)
        assert dimension.key in params


def test_conditions_that_depend_on_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="depend on each other"):
        space({"a=1": {"b": "1,2"}, "b=1": {"a": "1,2"}})


def test_every_value_is_tried_once_in_addition_to_the_first_point() -> None:
    found = space(CONDITIONAL)
    tried = [(dimension.key, params[dimension.key]) for dimension, params in found.neighbours()]
    assert tried == [
        ("model", "mlp"), ("model", "lstm"), ("optimizer.lr", 1e-4), ("optimizer.lr", 0.1), ("model.hidden", 8),
        ("model.hidden", 16), ("model.hidden", 32), ("model.hidden", 64), ("model.layers", 1), ("model.layers", 3),
    ]  # fmt: skip
    for dimension, params in found.neighbours():
        assert dimension.exists(params)


values = st.one_of(
    st.none(), st.booleans(), st.integers(-1000, 1000), st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="ascii", exclude_categories=["Cc"])), st.lists(st.integers(0, 9), min_size=1),
)  # fmt: skip


@given(values)
def test_a_value_survives_its_way_through_the_command_line(value: Any) -> None:
    if value == "" or (isinstance(value, str) and value.endswith("\\")):
        return  # what Hydra's grammar itself cannot write
    again = OverridesParser.create().parse_override(as_override("key", value)).value()
    assert again == value
    assert type(again) is type(value)


@given(
    st.sampled_from(
        [Range(1, 9, 2), Range(1e-4, 0.1, log=True), Range(1, 100, 1, log=True), Range(0.0, 1.0)]
    ),
    st.floats(0, 1, exclude_max=True),
)
def test_numbers_stay_within_their_bounds_and_steps(domain: Range, share: float) -> None:
    value = domain.at(share)
    assert domain.low <= value <= domain.high
    if domain.is_whole:
        assert isinstance(value, int)
        assert (value - domain.low) % (domain.step or 1) == 0


def test_a_logarithmic_interval_gives_each_decade_its_part() -> None:
    domain = Range(1e-4, 1.0, log=True)
    assert [round(math.log10(domain.at(share)), 6) for share in (0.0, 0.25, 0.5, 0.75)] == [-4, -3, -2, -1]


def test_what_depends_on_a_model_that_the_command_line_leaves_out_is_not_there() -> None:
    varied = {"model": "lstm,gru"}
    found = combined_space(CONDITIONAL, varied, domains_of(varied, []), [])
    assert found == {"model": "lstm,gru"} | {key: CONDITIONAL[key] for key in ("optimizer.lr", "model=lstm")}


def test_spaces_of_whole_numbers_that_are_offered_are_equal() -> None:
    domains: dict[str, Choice | Range] = {"model.hidden": Range(1.0, 5.0)}
    told = r"int\(interval\(1,5\)\) or model\.hidden=range\(1,6\)"
    with pytest.raises(ConfigError, match=told), naming_values(domains, {"model.hidden": 2.5}):
        raise ConfigError("should be a valid integer, not 2.5", "model.hidden")


def test_what_hydra_refuses_in_a_space_is_told_in_plain_words() -> None:
    with pytest.raises(ConfigError, match=r"choice\(\) does not accept null\n.*model\.hidden=null,8"):
        read_domain("model.hidden", "choice(null,8)", lambda _: [])
    merged = OmegaConf.create({"sweep": {"space": {}}})
    with pytest.raises(OmegaConfBaseException) as raised:
        merged.merge_with({"sweep": {"space": ["model.hidden"]}})
    found = problem_of(raised.value, "sweep.space")
    assert found.message == "should be a mapping, not a list"
