"""What crosses the border arrives equal and of the same type, and nothing else crosses."""

from __future__ import annotations

import json
import math
import random
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any

import pytest

from flab_deploy.sandbox.worker.values import (
    MAX_DEPTH,
    MAX_ITERATED,
    BadEncoding,
    Remote,
    TooLarge,
    UnsupportedValue,
    copy_back,
    from_bytes,
    pack,
    to_bytes,
    unpack,
)

PLAIN = [
    None,
    True,
    False,
    0,
    -1,
    2**53,
    -(2**53),
    7**5000,
    1.5,
    -0.0,
    float("inf"),
    5e-324,
    1 + 2j,
    "",
    "\ud800 \x00 é",
    b"",
    b"\xff",
    bytearray(b"ab"),
    [],
    [1, [2, (3, {4})]],
    (),
    (1,),
    set(),
    {1, "a", None},
    frozenset({1, frozenset()}),
    {},
    {1: [2], "1": {}},
    {(1, 2): {3.0: b"4"}},
    OrderedDict([("b", 1), ("a", 2)]),
    Counter("abca"),
    deque([1, 2], maxlen=5),
    deque(),
    range(3, 9, 2),
    Ellipsis,
    Decimal("1.10"),
    Decimal("NaN").copy_sign(Decimal(-1)),
    Fraction(-1, 3),
    date(2020, 2, 29),
    datetime(2020, 2, 29, 1, 2, 3, 4),
    time(1, 2),
    timedelta(days=-1, microseconds=3),
]


def carried(value: object) -> Any:
    return unpack(from_bytes(to_bytes({"value": pack(value)}, 1 << 20))["value"])


@pytest.mark.parametrize("value", PLAIN, ids=lambda v: type(v).__name__)
def test_plain_values_arrive_equal_and_of_the_same_type(value: Any) -> None:
    got = carried(value)
    assert type(got) is type(value)
    assert repr(got) == repr(value) or "set" in type(value).__name__
    assert got == value or value != value


def test_special_values_keep_what_equality_does_not_see() -> None:
    assert math.isnan(carried(float("nan")))
    assert math.copysign(1, carried(-0.0)) == -1
    assert carried(True) is True
    assert list(carried({"b": 1, "a": 2})) == ["b", "a"]
    assert carried(deque([1], maxlen=3)).maxlen == 3
    assert carried(defaultdict(list, {1: [2]})) == {1: [2]}
    views = {"a": 1}
    assert (
        carried(views.keys()) == {"a"}
        and carried(views.items()) == {("a", 1)}
        and list(carried(views.values())) == [1]
    )


def test_types_arrive_as_themselves_and_named_tuples_as_tuples() -> None:
    assert carried([int, type(None), {"a": str}]) == [int, type(None), {"a": str}]
    got = carried([namedtuple("P", "x y")(1, [2])])
    assert got == [(1, [2])] and type(got[0]) is tuple


def test_functions_stay_where_they_are() -> None:
    kept: list[Any] = []
    packed = pack([len, {"key": str.upper}], kept)
    assert kept == [len, str.upper]
    calls: list[object] = []
    remote = unpack(packed, lambda index: Remote(index, lambda *call: calls.append(call)))
    remote[1]["key"]("a", b=2)
    assert calls == [(1, ("a",), {"b": 2})]
    assert unpack(pack(remote), kept.__getitem__) == [len, {"key": str.upper}]


@pytest.mark.parametrize(
    "items",
    [[1, 2**60], [1, True], [1, "a", None, 2.5], [-0.0, 1e300], [True], ["\ud800"], [2**53]],
)
def test_lists_arrive_the_same_whether_or_not_they_take_the_short_way(items: list[Any]) -> None:
    got = carried({"k": (items, set(items))})["k"]
    assert repr(got[0]) == repr(items) and got[1] == set(items)


def test_iterators_arrive_as_iterators() -> None:
    got = carried(map(str, [1, 2]))
    assert got != ["1", "2"] and list(got) == ["1", "2"]
    endless = carried(i for i in iter(int, 1))
    with pytest.raises(UnsupportedValue, match="more than"):
        assert [next(endless) for _ in range(MAX_ITERATED)] == [0] * MAX_ITERATED
        next(endless)


class Color(IntEnum):
    RED = 1


class Text(str):
    pass


@pytest.mark.parametrize(
    "value",
    [
        object(),
        Color.RED,
        Text("a"),
        [Text("a")],
        {Text("a"): 1},
        len,
        type,
        lambda: 1,
        NotImplemented,
    ]
    + [datetime(2020, 1, 1, tzinfo=timezone.utc), ValueError()],  # noqa: UP017
    ids=str,
)
def test_everything_else_is_refused(value: object) -> None:
    with pytest.raises(UnsupportedValue, match="type"):
        pack(value)


def test_depth_and_size_are_capped() -> None:
    value: list[object] = []
    for _ in range(MAX_DEPTH):
        value = [value]
    assert carried(value) == value
    with pytest.raises(UnsupportedValue, match="deeper"):
        pack([value])
    with pytest.raises(TooLarge, match="1000"):
        to_bytes({"value": "x" * 1000}, 1000)


@pytest.mark.parametrize(
    "packed",
    [
        {},
        [],
        ["?"],
        ["&", 0],
        ["T", "type"],
        ["T", ["l"]],
        ["s", ["l"]],
        ["d", 1],
        ["i", "zz"],
        ["i", 5],
        ["f", 1],
        ["b", "x"],
        ["c", []],
        ["F", ["0x1", "0x0"]],
    ]
    + [
        ["r", ["0x1"]],
        ["m", "x"],
        ["m", ["l"]],
        ["y", "1"],
        ["Y", [1]],
        ["n", "x", 0],
        [1, 2],
        [["l"]],
        ["q"],
        ["g"],
    ],  # noqa: RUF005
    ids=json.dumps,
)
def test_bad_encodings_are_recognised(packed: object) -> None:
    with pytest.raises(BadEncoding):
        unpack(packed)


def test_random_json_never_escapes_the_decoder() -> None:
    rng = random.Random(0)
    tags = list("ltszqdoCDIKVifcbBremFyYnNg")

    def junk(depth: int) -> object:
        if depth == 0 or rng.random() < 0.3:
            return rng.choice([None, True, 1, "0x1", "a", 2.5, [], {}, -1, 10**30])
        return [rng.choice(tags), *(junk(depth - 1) for _ in range(rng.randrange(4)))]

    decoded = 0
    for _ in range(3000):
        try:
            unpack(junk(4))
            decoded += 1
        except BadEncoding:
            pass
    assert 0 < decoded < 3000


@pytest.mark.parametrize(
    "data", [b"", b"[1]", b"{", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}", b"\xff"], ids=len
)
def test_bytes_that_are_no_message(data: bytes) -> None:
    with pytest.raises(BadEncoding):
        from_bytes(data)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ([3, 1, 2], [1, 2, 3]),
        ([[1], [2]], [[1, 5]]),
        ([1], [1, 2, 3]),
        ({"a": [1], "b": 2}, {"b": 3, "a": [1, 2]}),
        ({1, 2}, {2, 3}),
        (bytearray(b"ab"), bytearray(b"c")),
        (deque([1, 2], maxlen=2), deque([2, 1], maxlen=2)),
        (Counter("aab"), Counter("bbc")),
        (OrderedDict(a=1, b=2), OrderedDict(b=2, a=1)),
    ],
)
def test_mutations_are_copied_into_the_same_objects(old: Any, new: Any) -> None:
    alias, inner = old, old[0] if type(old) is list and type(old[0]) is list else None
    copy_back(old, new)
    assert alias == new and repr(alias) == repr(new)
    assert inner is None or alias[0] is inner
