"""Numbers as people read them. Every function takes a plain number and gives text with its unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_SCALES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def significant(value: float, digits: int = 3) -> str:
    """The value to `digits` significant digits, thousands separated, never in exponent form."""
    if value == 0:
        return "0"
    text = f"{value:.{digits}g}"
    if "e" in text or abs(value) >= 1000:
        rounded = float(text)
        return f"{rounded:,.0f}" if abs(rounded) >= 1 else f"{rounded:.12f}".rstrip("0")
    return f"{float(text):.{max(0, digits - 1 - _exponent(float(text)))}f}"


def _exponent(value: float) -> int:
    return int(f"{value:e}".partition("e")[2])


def _scaled(value: float, unit: str) -> str:
    for scale, prefix in _SCALES:
        if abs(value) >= scale:
            return f"{significant(value / scale)} {prefix}{unit}"
    return f"{significant(value)} {unit}"


def count(value: float) -> str:
    """A whole number, as in 6,782,016."""
    return f"{value:,.0f}"


def millions(value: float) -> str:
    """A large number in words, as in 6.78 million; small ones as they are."""
    for scale, word in ((1e9, "billion"), (1e6, "million")):
        if abs(value) >= scale:
            return f"{significant(value / scale)} {word}"
    return count(value)


def bytes_(value: float) -> str:
    """Bytes with a decimal prefix, as in 13.6 MB."""
    return _scaled(value, "B")


def flops(value: float) -> str:
    """Floating-point operations with a decimal prefix, as in 13.5 MFLOP."""
    return _scaled(value, "FLOP")


def percent(value: float) -> str:
    """A share in [0, 1] as per cent with one decimal, as in 84.5 %."""
    return f"{100 * value:.1f} %"


def milliseconds(value: float) -> str:
    """Milliseconds to three significant digits."""
    return f"{significant(value)} ms"


def tokens_per_second(value: float) -> str:
    """Tokens per second to three significant digits."""
    return f"{significant(value)} tok/s"


def joules(value: float) -> str:
    """Joules to three significant digits."""
    return f"{significant(value)} J"


def grams(value: float) -> str:
    """Grams to three significant digits."""
    return f"{significant(value)} g"


def bits(value: float) -> str:
    """Bits to four significant digits: models differ little in them."""
    return f"{significant(value, 4)} bits"


def nats(value: float) -> str:
    """Nats to three significant digits."""
    return f"{significant(value)} nats"


def times(value: float) -> str:
    """A ratio, as in 0.78×."""
    return f"{significant(value)}×"


def signed_percent(value: float, decimals: int = 1) -> str:
    """A relative change with its sign, as in −22.3 %."""
    sign = "−" if value < 0 else "+"
    return f"{sign}{abs(100 * value):.{decimals}f} %"


def points(value: float) -> str:
    """A difference of shares in percentage points with its sign, as in −1.3."""
    return f"{'−' if round(100 * value, 1) < 0 else '+'}{abs(100 * value):.1f}"


def gain(difference: float, bounds: tuple[float, float]) -> str:
    """A difference of shares in percentage points with its interval."""
    return f"{points(difference)} [{points(bounds[0])} to {points(bounds[1])}]"


def between(bounds: tuple[float, float]) -> str:
    """An interval of shares as text, as in 82.9–86.1 %."""
    return f"{100 * bounds[0]:.1f}–{100 * bounds[1]:.1f} %"


def span(bounds: tuple[float, float], unit: str) -> str:
    """An interval in any unit as text, as in 30.1–32.4 ms."""
    if unit == "share":
        return between(bounds)
    low, high = (FORMATS[unit](bound) for bound in bounds)
    (low_number, _, low_unit), high_unit = low.partition(" "), high.partition(" ")[2]
    return f"{low_number}–{high}" if low_unit == high_unit else f"{low}–{high}"


def probability(value: float) -> str:
    """A p-value, as in p = 0.012; very small ones as p < 0.001."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def listed(words: Sequence[str]) -> str:
    """Words joined as in a sentence: a, b and c."""
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


FORMATS: dict[str, Callable[[float], str]] = {
    "parameters": count,
    "bytes": bytes_,
    "FLOP/token": flops,
    "share": percent,
    "ms": milliseconds,
    "tokens/s": tokens_per_second,
    "J/token": joules,
    "gCO2e/million tokens": grams,
    "bits/byte": bits,
    "nats/token": nats,
}
"""How a figure of each unit is written."""
