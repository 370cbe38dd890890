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
_KNOWN_SECRETS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\b(AKIA|ASIA)[0-9A-Z]{16}\b"  # AWS
    r"|\bgh[oprsu]_[A-Za-z0-9]{30,}|\bgithub_pat_\w{30,}|\bglpat-[\w-]{20}"
    r"|\bxox[abprs]-[\w-]{10,}"  # Slack
    r"|\bAIza[\w-]{35}"  # Google
    r"|\b(sk|pk|rk)[-_](live|proj|ant)[-_][\w-]{16,}"
    r"|\bhf_[A-Za-z]{30,}"
    r"|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\."  # JSON web tokens
)
_ASSIGNED = re.compile(
    r"(key|token|secret|passwo?r?d|passwd|passphrase|credential|auth)\w*[\"'\])]*"
    r"(\s*:\s*[\w.]+)?\s*(=|:|\()\s*[rbuf]{0,2}[\"']([^\"'\s]{16,})[\"']",
    re.IGNORECASE,
)
_HEX = re.compile(r"(0x)?([0-9a-f]{24,}|[0-9A-F]{24,})")
_BASE64 = re.compile(r"(?=\D*\d)(?=[^a-z]*[a-z])(?=[^A-Z]*[A-Z])[A-Za-z0-9+/_-]{20,}={0,2}")


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
    return bool(_KNOWN_SECRETS.search(text)) or any(
        _HEX.fullmatch(found[4]) or _BASE64.fullmatch(found[4])
        for found in _ASSIGNED.finditer(text)
    )
