"""Plain data across a process border: exact builtin types as tagged JSON, never pickle, never code.

`None`, booleans, text, floats and small integers are themselves; everything else is a JSON list
whose first item is a tag. A subclass is refused, so no `__eq__` of the sender ever reaches the
reader; a named tuple is sent as the tuple it is. A test may pass functions: they stay where they
are, and the program gets a `Remote` that calls back.
"""

from __future__ import annotations

import json
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from types import GeneratorType, NoneType
from typing import Any, cast

MAX_DEPTH = 60
MAX_ITERATED = 10_000
_SMALL = 1 << 53


_to_json = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class UnsupportedValue(Exception):
    """The value is not plain data."""


class TooLarge(Exception):
    """The value is plain data, and too much of it."""


class BadEncoding(Exception):
    """The text is not an encoded value."""


class Remote:
    """A function on the other side."""

    def __init__(
        self, index: int, call: Callable[[int, tuple[object, ...], dict[str, object]], object]
    ) -> None:
        """Function number `index`, reached through `call`."""
        self.index = index
        self._call = call

    def __call__(self, *args: object, **kwargs: object) -> object:
        """Call it; arguments and result are copies."""
        return self._call(self.index, args, kwargs)


_ITERATORS: frozenset[object] = frozenset(
    {
        GeneratorType,
        map,
        filter,
        zip,
        enumerate,
        reversed,
        type(iter([])),
        type(iter(())),
        type(iter(range(0))),
    }
    | {type(iter({})), type(iter(set())), type(iter("")), islice, type(reversed([]))}
)
_KEYS: type = type({}.keys())
_VALUES: type = type({}.values())
_ITEMS: type = type({}.items())
_SEQUENCES: dict[type, str] = {
    list: "l",
    tuple: "t",
    set: "s",
    frozenset: "z",
    deque: "q",
    _KEYS: "K",
    _VALUES: "V",
}
_MAPPINGS: dict[type, str] = {
    dict: "d",
    OrderedDict: "o",
    Counter: "C",
    defaultdict: "D",
    _ITEMS: "I",
}
_SCALARS: dict[type, tuple[str, Callable[[Any], Any]]] = {
    int: ("i", hex),
    complex: ("c", lambda v: [v.real.hex(), v.imag.hex()]),
    bytes: ("b", bytes.hex),
    bytearray: ("B", bytearray.hex),
    range: ("r", lambda v: [hex(v.start), hex(v.stop), hex(v.step)]),
    type(Ellipsis): ("e", lambda _: 0),
    Decimal: ("m", str),
    Fraction: ("F", lambda v: [hex(v.numerator), hex(v.denominator)]),
    date: ("y", date.isoformat),
    timedelta: ("Y", lambda v: [v.days, v.seconds, v.microseconds]),
}
_THEMSELVES: frozenset[type] = frozenset({NoneType, bool, str, float})
_SENDABLE: tuple[type, ...] = (
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    bytearray,
    list,
    tuple,
    set,
    frozenset,
    dict,
    range,
    object,
    NoneType,
)
_TYPES: dict[object, str] = {kind: kind.__name__ for kind in _SENDABLE}
_TYPE_NAMED = {name: kind for kind, name in _TYPES.items()}


def _all_themselves(items: Iterable[object]) -> bool:
    """Whether every item is its own encoding; in C, for the long lists that tests like to pass."""
    kinds = set(map(type, items))
    if kinds == {int}:
        integers = cast("Iterable[int]", items)
        return min(integers) > -_SMALL and max(integers) < _SMALL
    return kinds <= _THEMSELVES


def _is_named_tuple(value: object, kind: type) -> bool:
    return (
        kind.__base__ is tuple
        and isinstance(value, tuple)
        and isinstance(getattr(kind, "_fields", None), tuple)
    )


def _pack(value: object, depth: int, functions: list[Callable[..., object]] | None) -> object:
    kind = type(value)
    if kind in _THEMSELVES:
        return value
    if isinstance(value, int) and kind is int and -_SMALL < value < _SMALL:
        return value
    if depth > MAX_DEPTH:
        raise UnsupportedValue(f"nested deeper than {MAX_DEPTH} levels")
    scalar = _SCALARS.get(kind)
    if scalar is not None:
        return [scalar[0], scalar[1](value)]
    tag = _SEQUENCES.get(kind)
    if tag is not None:
        items: Iterable[object] = value  # type: ignore[assignment]
        plain = _all_themselves(items)
        packed = [tag, *(items if plain else (_pack(item, depth + 1, functions) for item in items))]
        return packed if kind is not deque else ["q", value.maxlen, *packed[1:]]  # type: ignore[attr-defined]
    tag = _MAPPINGS.get(kind)
    if tag is not None:
        pairs: Iterable[Iterable[object]] = value if kind is _ITEMS else value.items()  # type: ignore
        return [tag, *(_pack(part, depth + 1, functions) for pair in pairs for part in pair)]
    if kind in _ITERATORS:
        return _pack_iterator(value, depth)  # type: ignore[arg-type]
    return _pack_rare(value, kind, depth, functions)


def _pack_rare(
    value: object, kind: type, depth: int, functions: list[Callable[..., object]] | None
) -> object:
    if isinstance(value, (datetime, time)) and kind in (datetime, time) and value.tzinfo is None:
        return ["n" if kind is datetime else "N", value.isoformat(), value.fold]
    if _is_named_tuple(value, kind):
        plain: tuple[object, ...] = tuple.__getitem__(
            cast("tuple[object, ...]", value), slice(None)
        )
        return _pack(plain, depth, functions)
    if kind is type and value in _TYPES:
        return ["T", _TYPES[value]]
    if isinstance(value, Remote) and kind is Remote:
        return ["&", value.index]
    if functions is not None and callable(value):
        functions.append(value)
        return ["&", len(functions) - 1]
    raise UnsupportedValue(f"a value of type {kind.__name__[:80]!r}")


def _pack_iterator(value: Iterator[object], depth: int) -> object:
    items = [_pack(item, depth + 1, None) for item in islice(value, MAX_ITERATED + 1)]
    return ["g", len(items) > MAX_ITERATED, *items[:MAX_ITERATED]]


def pack(value: object, functions: list[Callable[..., object]] | None = None) -> object:
    """The value as something `json` can write, its nesting checked.

    An iterator is consumed, up to MAX_ITERATED items. A callable is put into `functions`, where
    such a list is given, and sent as its place. Raises UnsupportedValue naming the type.
    """
    return _pack(value, 0, functions)


def _pairs(items: list[object]) -> list[tuple[Any, Any]]:
    if len(items) % 2:
        raise BadEncoding("a mapping with a key and no value")
    return list(zip(items[::2], items[1::2], strict=True))


def _resumed(ended: object, items: list[object]) -> Iterator[object]:
    yield from items
    if ended is not False:
        raise UnsupportedValue(f"an iterator of more than {MAX_ITERATED} items")


def _integer(text: object) -> int:
    if type(text) is not str:
        raise BadEncoding("a number that is not text")
    return int(text, 16)


def _real(text: object) -> float:
    if type(text) is not str:
        raise BadEncoding("a number that is not text")
    return float.fromhex(text)


_FROM_SCALAR: dict[str, Callable[[Any], object]] = {
    "i": _integer,
    "c": lambda v: complex(_real(v[0]), _real(v[1])),
    "b": bytes.fromhex,
    "B": bytearray.fromhex,
    "r": lambda v: range(_integer(v[0]), _integer(v[1]), _integer(v[2])),
    "e": lambda _: ...,
    "m": Decimal,
    "F": lambda v: Fraction(_integer(v[0]), _integer(v[1])),
    "y": date.fromisoformat,
    "Y": lambda v: timedelta(days=v[0], seconds=v[1], microseconds=v[2]),
    "T": _TYPE_NAMED.__getitem__,
}
_FROM_SEQUENCE: dict[str, Callable[[list[Any]], object]] = {
    "l": list,
    "t": tuple,
    "s": set,
    "z": frozenset,
    "K": lambda v: dict.fromkeys(v).keys(),
    "V": lambda v: dict(enumerate(v)).values(),
    "d": lambda v: dict(_pairs(v)),
    "o": lambda v: OrderedDict(_pairs(v)),
    "C": lambda v: Counter(dict(_pairs(v))),
    "D": lambda v: defaultdict(None, _pairs(v)),
    "I": lambda v: dict(_pairs(v)).items(),
}


def _unpack(packed: object, depth: int, resolve: Callable[[int], object] | None) -> object:
    kind = type(packed)
    if kind in _THEMSELVES or kind is int:
        return packed
    if (
        not isinstance(packed, list)
        or not packed
        or type(packed[0]) is not str
        or depth > MAX_DEPTH
    ):
        raise BadEncoding("neither a plain value nor a tagged list")
    tag = packed[0]
    if tag in _FROM_SCALAR and len(packed) == 2:
        return _FROM_SCALAR[tag](packed[1])
    if tag in ("n", "N") and len(packed) == 3:
        return (datetime if tag == "n" else time).fromisoformat(packed[1]).replace(fold=packed[2])
    if (
        tag == "&"
        and len(packed) == 2
        and type(packed[1]) is int
        and packed[1] >= 0
        and resolve is not None
    ):
        return resolve(packed[1])
    items = packed[2 if tag in ("q", "g") else 1 :]
    if not _all_themselves(items):
        items = [_unpack(item, depth + 1, resolve) for item in items]
    if tag in _FROM_SEQUENCE:
        return _FROM_SEQUENCE[tag](items)
    if tag == "q":
        return deque(items, packed[1])
    if tag == "g":
        return _resumed(packed[1], items)
    raise BadEncoding(f"unknown tag {tag[:8]!r}")


def unpack(packed: object, resolve: Callable[[int], object] | None = None) -> Any:
    """The value that was packed, built of new objects; `resolve` gives what stands for function
    number so-and-so.

    Raises BadEncoding whatever the input is.
    """
    try:
        return _unpack(packed, 0, resolve)
    except BadEncoding:
        raise
    except Exception as error:
        raise BadEncoding(f"{type(error).__name__} while decoding") from None


def to_bytes(message: object, max_bytes: int) -> bytes:
    """A packed message as ASCII JSON. Raises TooLarge above `max_bytes`."""
    data = _to_json(message).encode()
    if len(data) > max_bytes:
        raise TooLarge(f"{len(data)} bytes, and {max_bytes} are allowed")
    return data


def from_bytes(data: bytes) -> dict[str, Any]:
    """The message, a JSON object. Raises BadEncoding if it is anything else."""
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        raise BadEncoding("not JSON") from None
    if type(message) is not dict:
        raise BadEncoding("not a JSON object")
    return message


def copy_back(old: object, new: object) -> None:
    """Make the container `old` equal to `new` in place, and its containers too where their places
    match.
    """
    if type(old) is not type(new):
        return
    if isinstance(old, list) and isinstance(new, list):
        old[:] = [_kept(a, b) for a, b in zip(old, new, strict=False)] + new[len(old) :]
    elif isinstance(old, dict) and isinstance(new, dict):
        merged = [(key, _kept(old.get(key), value)) for key, value in new.items()]
        old.clear()
        for key, value in merged:  # not `update`, which counts in a Counter
            old[key] = value
    elif isinstance(old, (set, bytearray, deque)):
        old.clear()
        (old.update if isinstance(old, set) else old.extend)(new)  # type: ignore[arg-type]


def _kept(old: object, new: object) -> object:
    if type(old) is type(new) and isinstance(old, (list, dict, set, bytearray, deque)):
        copy_back(old, new)
        return old
    return new
