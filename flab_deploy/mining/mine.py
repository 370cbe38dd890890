"""From source trees to instructions: what is kept, what is left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from flab_deploy.mining.found import BrokenSource, FoundFunction, Mined, MissingGrammar
from flab_deploy.mining.languages import LANGUAGES
from flab_deploy.mining.left_out import is_generated
from flab_deploy.mining.sieve import Sieve
from flab_deploy.mining.trees import SourceFile, SourceTree, in_turns
from flab_deploy.progress import progress
from flab_deploy.records.printed.corpus import FileReason, FunctionReason
from flab_deploy.settings.corpus import CorpusConfig, LanguageName, MinedKind

_MOST_BYTES = 1 << 20


@dataclass(kw_only=True)
class MinedCorpus:
    """Instructions, and counts of what was read and left out."""

    records: list[Mined] = field(default_factory=list)
    kinds: Counter[MinedKind] = field(default_factory=Counter)
    languages: Counter[LanguageName] = field(default_factory=Counter)
    """Files read, by language."""
    files_left_out: Counter[FileReason] = field(default_factory=Counter)
    functions_left_out: Counter[FunctionReason] = field(default_factory=Counter)


def mine(trees: Sequence[SourceTree], config: CorpusConfig = CorpusConfig()) -> MinedCorpus:
    """The instructions in source trees, in seeded order; equal trees give equal instructions.

    Of several that are alike, the first that is read is kept.
    """
    mined = MinedCorpus()
    mined.files_left_out["vendored"] += sum(tree.num_vendored for tree in trees)
    sieve = Sieve(config)
    files = in_turns([file for tree in trees for file in tree.files], config.seed)
    with progress("mined", len(files), "files") as advance:
        for file in files:
            if _is_full(mined, config):
                break
            _mine_file(file, mined, sieve, config)
            advance(1)
    Random(config.seed).shuffle(mined.records)
    return mined


def _is_full(mined: MinedCorpus, config: CorpusConfig) -> bool:
    return 0 < config.max_records <= len(mined.records)


def _mine_file(file: SourceFile, mined: MinedCorpus, sieve: Sieve, config: CorpusConfig) -> None:
    found = _candidates(file)
    if isinstance(found, str):
        mined.files_left_out[found] += 1
        return
    mined.languages[file.language] += 1
    for candidate in found:
        if _is_full(mined, config):
            return
        if candidate.kind not in config.kinds:
            continue
        reason = sieve.reason(candidate, LANGUAGES[file.language])
        if reason is not None:
            mined.functions_left_out[reason] += 1
            continue
        mined.kinds[candidate.kind] += 1
        mined.records.append(
            Mined(
                prompt=candidate.prompt,
                completion=candidate.completion,
                source=f"{file.name}:{candidate.line}",
            )
        )


def _candidates(file: SourceFile) -> list[FoundFunction] | FileReason:
    """The functions of a file, or why it is left out."""
    language = LANGUAGES[file.language]
    try:
        if file.path.stat().st_size > _MOST_BYTES:
            return "too_large"
        source = file.path.read_bytes()
        text = source.decode(language.encoding_of(source))
    except (OSError, UnicodeError, LookupError, SyntaxError):
        return "unreadable"
    if is_generated(text):
        return "generated"
    try:
        # Lines end as every parser counts them; other separators are text to it.
        return list(language.candidates(text.replace("\r\n", "\n").replace("\r", "\n")))
    except BrokenSource:
        return "syntax_error"
    except MissingGrammar:
        return "no_grammar"
