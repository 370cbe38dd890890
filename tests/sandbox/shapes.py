"""Forty problems in HumanEval's format, one for each shape that tests of this kind come in.

Each has a right completion and a wrong one, told apart by the test's `check(candidate)`.
"""

from __future__ import annotations

from typing import NamedTuple

METADATA = "\n\nMETADATA = {\n    'author': 'anon',\n    'dataset': 'test'\n}\n\n\n"


class Shape(NamedTuple):
    """One problem."""

    name: str
    prompt: str
    right: str
    wrong: str
    test: str
    entry_point: str
    verdict: str
    """Of the wrong completion."""


def shape(
    name: str,
    signature: str,
    right: str,
    wrong: str,
    checks: str,
    verdict: str = "fail_assert",
    head: str = "",
    before: str = "",
) -> Shape:
    """A problem whose `check` has the lines of `checks`, after the lines of `before`."""
    entry_point = signature.split("(")[0]
    prompt = f'{head}\ndef {signature}:\n    """{name.capitalize()}."""\n'
    body = "".join(f"    {line}\n" for line in checks.strip("\n").split("\n"))
    test = f"{METADATA}{before}\ndef check(candidate):\n{body}"
    indent = lambda code: "".join(f"    {line}\n" for line in code.split("\n"))  # noqa: E731
    return Shape(name, prompt, indent(right), indent(wrong), test, entry_point, verdict)


SHAPES = [
    shape(
        "plain asserts",
        "add(a, b)",
        "return a + b",
        "return a - b",
        "assert candidate(2, 3) == 5\nassert candidate(-1, 1) == 0",
    ),
    shape(
        "asserts with messages",
        "inc(n)",
        "return n + 1",
        "return n",
        'assert candidate(1) == 2, "one"\nassert True, "ends well"',
    ),
    shape(
        "keyword arguments",
        "power(base, *, exp=2)",
        "return base ** exp",
        "return base * exp",
        "assert candidate(base=3, exp=3) == 27\nassert candidate(2) == 4",
    ),
    shape(
        "starred arguments",
        "total(*xs, **kw)",
        "return sum(xs) + sum(kw.values())",
        "return sum(xs)",
        "assert candidate(*[1, 2], **{'c': 3}) == 6",
    ),
    shape(
        "floats with a tolerance",
        "mean(xs: list[float])",
        "return sum(xs) / len(xs)",
        "return sum(xs)",
        "assert abs(candidate([1.0, 2.0, 4.0]) - 7 / 3) < 1e-6\nassert abs(candidate([0.1] * "
        "10) - 0.1) < 1e-9",
    ),
    shape(
        "exact floats",
        "third()",
        "return 1 / 3",
        "return 0.333333333333",
        "assert candidate() == 1 / 3",
    ),
    shape(
        "infinities and not-a-number",
        "odd(kind)",
        "return float(kind)",
        "return 0.0",
        "import math\n"
        "assert candidate('inf') == math.inf\n"
        "assert math.isnan(candidate('nan'))\n"
        "assert math.copysign(1, candidate('-0.0')) == -1",
    ),
    shape(
        "math.isclose with an import in the test",
        "area(r)",
        "import math\nreturn math.pi * r * r",
        "return 3 * r * r",
        "import math\nfor r in (0.5, 1, 20):\n    assert math.isclose(candidate(r), math.pi * "
        "r ** 2, rel_tol=1e-12)",
    ),
    shape(
        "a helper in the test",
        "square(n)",
        "return n * n",
        "return n + n",
        "for n in range(20):\n    assert_equal(candidate(n), n * n)",
        before=("def assert_equal(a, b):\n    assert a == b, f'{a} != {b}'\n"),
    ),
    shape(
        "a helper with a tolerance",
        "halves(xs)",
        "return [x / 2 for x in xs]",
        "return xs",
        "assert near(candidate([1, 3.0]), [0.5, 1.5])",
        before=(
            "def near(a, b, tol=1e-6):\n    return len(a) == len(b) and all(abs(x - y) < tol "
            "for x, y in zip(a, b))\n"
        ),
    ),
    Shape(
        "a helper of the prompt",
        "def encode(text):\n"
        '    """Shift by 13."""\n'
        '    return "".join(chr((ord(c) - 97 + 13) % 26 + 97) for c in text)\n'
        "\n"
        "\n"
        "def decode(text):\n"
        '    """Undo encode."""\n',
        "    return encode(text)\n",
        "    return text\n",
        METADATA
        + (
            "def check(candidate):\n"
            "    from random import randint, choice\n"
            "    import string\n"
            "    for _ in range(100):\n"
            "        text = ''.join(choice(string.ascii_lowercase) for i in range(randint(10, "
            "20)))\n"
            "        assert candidate(encode(text)) == text\n"
        ),
        "decode",
        "fail_assert",
    ),
    shape(
        "a polynomial's root, by a helper of the prompt",
        "root(xs)",
        "begin, end = -1.0, 1.0\n"
        "while poly(xs, begin) * poly(xs, end) > 0:\n"
        "    begin *= 2.0\n"
        "    end *= 2.0\n"
        "while end - begin > 1e-10:\n"
        "    middle = (begin + end) / 2\n"
        "    if poly(xs, middle) * poly(xs, begin) > 0:\n"
        "        begin = middle\n"
        "    else:\n"
        "        end = middle\n"
        "return begin",
        "globals()['poly'] = lambda *a: 0.0\nreturn 1.0",
        "import math, random, copy\n"
        "rng = random.Random(42)\n"
        "for _ in range(30):\n"
        "    coeffs = []\n"
        "    for _ in range(2 * rng.randint(1, 3)):\n"
        "        c = rng.randint(-10, 10)\n"
        "        coeffs.append(c if c != 0 else 1)\n"
        "    solution = candidate(copy.deepcopy(coeffs))\n"
        "    assert math.fabs(poly(coeffs, solution)) < 1e-3",
        head=(
            "import math\n\n\ndef poly(xs, x):\n    return sum(c * math.pow(x, i) for i, c in "
            "enumerate(xs))\n\n"
        ),
    ),
    shape(
        "an import of the prompt",
        "norm(p: Tuple[int, int])",
        "return sqrt(p[0] ** 2 + p[1] ** 2)",
        "return 0",
        "assert candidate((3, 4)) == sqrt(25)",
        head=("from math import sqrt\nfrom typing import Tuple\n"),
    ),
    shape(
        "an expected exception",
        "parse(text)",
        "return int(text)",
        "return 0",
        "assert candidate('7') == 7\n"
        "try:\n"
        "    candidate('x')\n"
        "except ValueError:\n"
        "    pass\n"
        "else:\n"
        "    assert False, 'no ValueError'",
    ),
    shape(
        "an expected exception of a class of the program's own",
        "fetch(d, k)",
        "class Missing(KeyError):\n    pass\nif k not in d:\n    raise Missing(k)\nreturn d[k]",
        "return d[k] if k in d else None",
        "import contextlib\n"
        "assert candidate({'a': 1}, 'a') == 1\n"
        "raised = False\n"
        "try:\n"
        "    candidate({}, 'a')\n"
        "except KeyError as error:\n"
        "    raised = 'a' in str(error)\n"
        "assert raised",
    ),
    shape(
        "an exception that nobody expects",
        "first(xs)",
        "return xs[0] if xs else None",
        "return xs[0]",
        "assert candidate([]) is None",
        "fail_exception",
    ),
    shape(
        "None",
        "nothing(x)",
        "return None",
        "return False",
        "assert candidate(None) is None\nassert candidate(0) is None",
    ),
    shape(
        "booleans by identity",
        "even(n)",
        "return n % 2 == 0",
        "return 1 - n % 2",
        "assert candidate(2) is True\nassert candidate(3) is False",
    ),
    shape(
        "tuples are no lists",
        "pair(a, b)",
        "return (a, b)",
        "return [a, b]",
        "assert candidate(1, 'x') == (1, 'x')\nassert isinstance(candidate(1, 2), tuple)",
    ),
    shape(
        "sets",
        "common(a, b)",
        "return a & b",
        "return a | b",
        "assert candidate({1, 2, 3}, {2, 3, 4}) == {2, 3}\nassert candidate(frozenset('ab'), "
        "{'a'}) == {'a'}",
    ),
    shape(
        "nested containers",
        "invert(d)",
        "out = {}\nfor k, vs in d.items():\n    for v in vs:\n        out.setdefault(v, "
        "[]).append(k)\nreturn out",
        "return {v: k for k, vs in d.items() for v in vs}",
        "assert candidate({('a', 1): [None, 2.5], 'b': (2.5,)}) == {None: [('a', 1)], 2.5: "
        "[('a', 1), 'b']}",
    ),
    shape(
        "keys of many types",
        "keys(d)",
        "return list(d)",
        "return list(map(str, d))",
        "assert candidate({1: 0, 2.5: 0, 'a': 0, (1, (2,)): 0, None: 0, frozenset({1}): 0}) "
        "== [1, 2.5, 'a', (1, (2,)), None, frozenset({1})]",
    ),
    shape(
        "dictionaries of the collections module",
        "count(s)",
        "from collections import Counter\nreturn Counter(s)",
        "return {c: 1 for c in s}",
        "from collections import Counter, OrderedDict\n"
        "assert candidate('abca') == Counter('aabc')\n"
        "assert candidate('ab').most_common(1)[0][1] == 1\n"
        "assert candidate('aab')['a'] == 2",
    ),
    shape(
        "bytes",
        "flip(b)",
        "return bytes(255 - x for x in b)",
        "return b",
        "assert candidate(b'\\x00\\xff') == b'\\xff\\x00'",
    ),
    shape(
        "complex and big numbers",
        "mul(a, b)",
        "return a * b",
        "return a + b",
        "assert candidate(1 + 2j, 1j) == -2 + 1j\n"
        "assert candidate(7 ** 500, 7 ** 500) == 7 ** 1000\n"
        "assert candidate(2 ** 53 + 1, 1) == 2 ** 53 + 1",
    ),
    shape(
        "text of all kinds",
        "back(s)",
        "return s[::-1]",
        "return s.lower()",
        "assert candidate('aé\\u2028\\U0001f600\\x00') == '\\x00\\U0001f600\\u2028éa'\nassert "
        "candidate('') == ''",
    ),
    shape(
        "changes in place",
        "sort_it(xs)",
        "xs.sort()",
        "return sorted(xs)",
        "xs = [3, 1, 2]\nresult = candidate(xs)\nassert result is None\nassert xs == [1, 2, 3]",
    ),
    shape(
        "changes deep inside",
        "grow(m)",
        "for row in m['rows']:\n    row.append(len(row))\nm['n'] = len(m['rows'])\nreturn m",
        "return dict(m, n=len(m['rows']))",
        "rows = [[], [5]]\nm = {'rows': rows}\ncandidate(m)\nassert rows == [[0], [5, 1]] and "
        "m['n'] == 2",
    ),
    shape(
        "arguments that must not change",
        "sorted_copy(xs)",
        "return sorted(xs)",
        "xs.sort()\nreturn xs",
        "xs = [3, 1, 2]\nassert candidate(xs) == [1, 2, 3]\nassert xs == [3, 1, 2]",
    ),
    shape(
        "a function as an argument",
        "apply(f, xs)",
        "return [f(x) for x in xs]",
        "return xs",
        "assert candidate(lambda x: x * x, [1, 2, 3]) == [1, 4, 9]\nassert candidate(str, "
        "[1]) == ['1']",
    ),
    shape(
        "a key function",
        "order(xs, key=None)",
        "return sorted(xs, key=key)",
        "return sorted(xs)",
        "assert candidate(['bb', 'a', 'ccc'], key=lambda s: -len(s)) == ['ccc', 'bb', 'a']",
    ),
    shape(
        "types as arguments",
        "keep(xs, kind)",
        "return [x for x in xs if type(x) is kind]",
        "return xs",
        "assert candidate([1, 'a', 2.0, None, True], int) == [1]\nassert candidate(['a', 1], "
        "str) == ['a']",
    ),
    shape(
        "random inputs",
        "gcd(a, b)",
        "while b:\n    a, b = b, a % b\nreturn a",
        "return 1",
        "import math, random\n"
        "for _ in range(200):\n"
        "    a, b = random.randint(1, 10 ** 9), random.randint(1, 10 ** 9)\n"
        "    assert candidate(a * 6, b * 6) == math.gcd(a, b) * 6",
    ),
    shape(
        "thousands of calls",
        "collatz(n)",
        "steps = 0\nwhile n != 1:\n    n = n // 2 if n % 2 == 0 else 3 * n + 1\n    steps += "
        "1\nreturn steps",
        "return n % 7",
        "def reference(n):\n"
        "    steps = 0\n"
        "    while n != 1:\n"
        "        n = n // 2 if n % 2 == 0 else 3 * n + 1\n"
        "        steps += 1\n"
        "    return steps\n"
        "for n in range(1, 3001):\n"
        "    assert candidate(n) == reference(n)",
    ),
    shape(
        "long lists",
        "prefix(xs)",
        "from itertools import accumulate\nreturn list(accumulate(xs))",
        "return xs",
        "xs = list(range(100_000))\n"
        "got = candidate(xs)\n"
        "assert len(got) == 100_000 and got[-1] == sum(xs)\n"
        "assert candidate([0.5] * 50_000)[-1] == 25_000.0",
    ),
    shape(
        "a generator",
        "countdown(n)",
        "while n:\n    yield n\n    n -= 1",
        "yield from range(n)",
        "assert list(candidate(3)) == [3, 2, 1]\nassert next(iter(candidate(5))) == 5",
    ),
    shape(
        "a map object",
        "doubled(xs)",
        "return map(lambda x: 2 * x, xs)",
        "return xs",
        "assert list(candidate([1, 2])) == [2, 4]\nassert sum(candidate(range(4))) == 12",
    ),
    shape(
        "a dictionary's views",
        "names(d)",
        "return d.keys()",
        "return d.values()",
        "assert sorted(candidate({'b': 1, 'a': 2})) == ['a', 'b']\nassert 'a' in "
        "candidate({'a': 1})",
    ),
    shape(
        "a named tuple",
        "move(x, y)",
        "from collections import namedtuple\nreturn namedtuple('P', 'x y')(x + 1, y)",
        "return (x, y)",
        "assert candidate(1, 2) == (2, 2)",
    ),
    shape(
        "dates and decimals",
        "later(d, n)",
        "from datetime import timedelta\nreturn d + timedelta(days=n)",
        "return d",
        "from datetime import date\n"
        "from decimal import Decimal\n"
        "from fractions import Fraction\n"
        "assert candidate(date(2024, 2, 28), 1) == date(2024, 2, 29)",
    ),
    shape(
        "state between calls",
        "tick()",
        "tick.n = getattr(tick, 'n', 0) + 1\nreturn tick.n",
        "return 1",
        "assert [candidate() for _ in range(3)] == [1, 2, 3]",
    ),
    shape(
        "recursion by its own name",
        "fact(n)",
        "return 1 if n < 2 else n * fact(n - 1)",
        "return n",
        "assert candidate(50) == "
        "30414093201713378043612608166064768844377641568960512000000000000\n"
        "assert fact(5) == 120",
    ),
    Shape(
        "two functions",
        'def outer(n):\n    """Twice and one."""\n',
        "    return inner(n) + 1\n\n\ndef inner(n):\n    return n * 2\n",
        "    return n\n",
        "def check(candidate):\n    assert candidate(4) == 9\n",
        "outer",
        "fail_assert",
    ),
    shape(
        "an object of the program's own",
        "make(n)",
        "return [n]",
        "class Box(list):\n    pass\nreturn Box([n])",
        "assert candidate(1) == [1]",
        "unsupported_value",
    ),
    shape(
        "a check that calls check",
        "neg(n)",
        "return -n",
        "return n",
        "def again(f):\n    assert f(1) == -1\nagain(candidate)\nagain(lambda x: candidate(x))",
    ),
    shape(
        "a test with unittest",
        "up(s)",
        "return s.upper()",
        "return s",
        "import unittest\n"
        "class Case(unittest.TestCase):\n"
        "    def test_up(self):\n"
        "        self.assertEqual(candidate('a'), 'A')\n"
        "result = unittest.TestResult()\n"
        "unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(result)\n"
        "assert result.wasSuccessful()",
    ),
]
