"""What must not be learnt: code that a program wrote, and texts that hold a secret.

Both are recognised by rules of thumb that would rather leave out too much than too little.
"""

from __future__ import annotations

import re

_FIRST_LINES, _LONGEST_LINE = 15, 1_000
_SAYS_GENERATED = re.compile(
    r"@generated|\bdo not (edit|modify)\b|\b(auto|automatically|machine)[- ]?generated\b"
    r"|\bgenerated (automatically|by|from|using|with)\b",
    re.IGNORECASE,
)
_MARKS = ("PRIVATE KEY", "AKIA", "ASIA", "gh", "glpat-", "xox", "AIza", "k_", "k-", "hf_", "eyJ")
"""One of them is in every text that the following finds; looking for them is quicker."""
_KNOWN_SECRETS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\b(AKIA|ASIA)[0-9A-Z]{16}\b"  # AWS
    r"|\b(gh[oprsu]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|glpat-[\w-]{20})"
    r"|\bxox[abprs]-[\w-]{10,}"  # Slack
    r"|\bAIza[\w-]{35}"  # Google
    r"|\b(sk|pk|rk)[-_](live|proj|ant)[-_][\w-]{16,}"
    r"|\bhf_[A-Za-z]{30,}"
    r"|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\."  # JSON web tokens
)
_LONG_VALUE = re.compile(r"[\"'`]([A-Za-z0-9+/=_-]{20,})[\"'`]")
_HEX = re.compile(r"(0x)?([0-9a-f]{24,}|[0-9A-F]{24,})")
_BASE64 = re.compile(r"(?=\D*\d)(?=[^a-z]*[a-z])(?=[^A-Z]*[A-Z])[A-Za-z0-9+/_-]{20,}={0,2}")
_NAMED_SECRET = re.compile(
    r"(key|token|secret|passwo?r?d|passphrase|credential|auth)\w*[\"'\])]*"
    r"(\s*:\s*[\w.]+)?\s*(=|:|\(|,)\s*[rbuf]{0,2}$",
    re.IGNORECASE,
)
"""What stands before the value: a name, perhaps with a type, and a sign that gives it the value."""


def is_generated(text: str) -> bool:
    """Whether a file's first lines say that a program wrote it, or it has lines that nobody writes
    by hand.
    """
    lines = text.split("\n")
    says_so = _SAYS_GENERATED.search("\n".join(lines[:_FIRST_LINES]))
    return says_so is not None or max(map(len, lines)) > _LONGEST_LINE


def holds_secret(text: str) -> bool:
    """Whether a text looks like holding a private key, an access token, or a long hexadecimal or
    base64 value under a name such as key, token or password.
    """
    if any(mark in text for mark in _MARKS) and _KNOWN_SECRETS.search(text):
        return True
    return any(
        _NAMED_SECRET.search(text[text.rfind("\n", 0, found.start()) + 1 : found.start()])
        for found in _LONG_VALUE.finditer(text)
        if _HEX.fullmatch(found[1]) or _BASE64.fullmatch(found[1])
    )
