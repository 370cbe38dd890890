"""Processes that are killed at a chosen point of their work, so that no test has to aim."""

from __future__ import annotations

_HOOK = """
import os, signal, sys
left = {times}
def watch(event, words):
    global left
    if event == "open" and {part!r} in str(words[0]) and words[2] & os.O_ACCMODE:
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
"""


def killed_before_writing(part: str, code: str, times: int = 1) -> str:
    """`code` as a program that is killed outright when it opens a file for writing whose path has
    `part` in it, for the `times`-th time.
    """
    return _HOOK.format(part=part, times=times) + code
