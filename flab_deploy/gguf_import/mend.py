"""Putting right what a conversion from GGUF leaves out of the tokenizer's files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers.pre_tokenizers import ByteLevel, Digits, PreTokenizer, Sequence, Split
from tokenizers.processors import TemplateProcessing

from flab_deploy.artifacts import read_json, write_json
from flab_deploy.gguf_import.contents import CONTROL, USER_DEFINED, GgufContents
from flab_deploy.tokenizer import TOKENIZER_FILE, load_tokenizer

_TOKENIZER_CONFIG = "tokenizer_config.json"
_TEMPLATE = "chat_template.jinja"
_AS_STORED = "PreTrainedTokenizerFast"
"""The class that reads tokenizer.json as it stands; model-specific ones rebuild parts of it."""
_SAMPLE = "def f(a):\n        return a[1:12]  # caf\u00e9 \u6570\n\n\n\tx = '0x1F'\r\n"
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


@dataclass
class Mended:
    """What was put right, and what could not be."""

    mended: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def mend(said: GgufContents, folder: Path) -> Mended:
    """Make the tokenizer's files in `folder` say what the GGUF file says."""
    found = Mended()
    tokenizer = load_tokenizer(folder)
    _vocabulary(said, tokenizer, found)
    _pre_tokenizer(said, tokenizer, found)
    _ends(said, tokenizer, found)
    tokenizer.save(str(folder / TOKENIZER_FILE))
    _settings(said, folder, found)
    _chat_template(said, folder, found)
    text = tokenizer.decode(
        tokenizer.encode(_SAMPLE, add_special_tokens=False).ids, skip_special_tokens=False
    )
    if text != _SAMPLE:
        found.warnings.append(f"the tokenizer reads {_SAMPLE!r} back as {text!r}")
    return found


def _vocabulary(said: GgufContents, tokenizer: Tokenizer, found: Mended) -> None:
    """Control tokens steer the model and are special; user-defined ones are matched before all."""
    names = [_name(text, index, tokenizer) for index, text in enumerate(said.tokens)]
    wrong = [index for index, name in enumerate(names) if name is None]
    if wrong:
        found.warnings.append(
            f"{len(wrong)} tokens are not those of the file, the first is {wrong[0]}, "
            f"{said.tokens[wrong[0]]!r}"
        )
    known = tokenizer.get_added_tokens_decoder()
    lost, unmatched = [], []
    for index, (kind, name) in enumerate(zip(said.token_types, names, strict=False)):
        if kind == CONTROL and name and not (index in known and known[index].special):
            lost.append(AddedToken(name, special=True, normalized=False))
        elif kind == USER_DEFINED and name == said.tokens[index] and index not in known:
            unmatched.append(AddedToken(name, normalized=False))
    if lost:
        tokenizer.add_special_tokens(lost)
        found.mended.append(f"{len(lost)} control tokens are special again")
    if unmatched:
        tokenizer.add_tokens(unmatched)
        found.mended.append(f"{len(unmatched)} user-defined tokens are matched whole again")


def _name(text: str, index: int, tokenizer: Tokenizer) -> str | None:
    """What the tokenizer calls the token: SentencePiece spells a space as a sign; None if it has
    another there.
    """
    return next(
        (
            name
            for name in (text, text.replace(" ", "\u2581"))
            if tokenizer.token_to_id(name) == index
        ),
        None,
    )


def _pre_tokenizer(said: GgufContents, tokenizer: Tokenizer, found: Mended) -> None:
    if said.tokenizer_model != "gpt2":
        return
    rule = _RULES.get(said.pre_tokenizer)
    if rule is None:
        found.warnings.append(
            f"the rule {said.pre_tokenizer!r} that splits text before merging is not known here; "
            "text may become other tokens than the model was trained on"
        )
    elif not _same(rule, tokenizer.pre_tokenizer):
        tokenizer.pre_tokenizer = rule
        found.mended.append(f"text is split by the file's rule {said.pre_tokenizer!r} again")


def _same(one: PreTokenizer, other: PreTokenizer | None) -> bool:
    return other is not None and one.__getstate__() == other.__getstate__()


def _byte_level(*first: PreTokenizer, use_regex: bool = False) -> PreTokenizer:
    last = ByteLevel(add_prefix_space=False, use_regex=use_regex)
    return Sequence([*first, last]) if first else last


def _split(pattern: str) -> PreTokenizer:
    return Split(Regex(pattern), behavior="isolated")


def _rules() -> Iterator[tuple[str, PreTokenizer]]:
    """llama.cpp's names of rules, with the pre-tokenizers that Hugging Face's files of those models
    have.
    """
    for name in ("gpt-2", "phi-2", "mpt", "olmo", "default"):
        yield name, _byte_level(use_regex=True)
    for name in ("smollm", "starcoder", "refact", "command-r", "codeshell"):
        yield name, _byte_level(Digits(individual_digits=True), use_regex=True)
    words = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+"
    for name in ("qwen2", "stablelm2"):
        yield name, _byte_level(_split(rf"{words}|\p{{N}}{_TAIL}"))
    for name in ("llama-bpe", "llama3", "llama-v3", "smaug-bpe"):
        yield name, _byte_level(_split(rf"{words}|\p{{N}}{{1,3}}{_TAIL}"))


_RULES = dict(_rules())


def _ends(said: GgufContents, tokenizer: Tokenizer, found: Mended) -> None:
    """The tokens that a text begins and ends with."""
    first = said.special_ids.get("bos_token") if said.adds_bos else None
    last = said.special_ids.get("eos_token") if said.adds_eos else None
    bare = tokenizer.encode("x", add_special_tokens=False).ids
    wanted = [*([] if first is None else [first]), *bare, *([] if last is None else [last])]
    if tokenizer.encode("x").ids == wanted:
        return
    around = {said.tokens[index]: index for index in (first, last) if index is not None}
    begin, end = ([] if index is None else [said.tokens[index]] for index in (first, last))
    tokenizer.post_processor = TemplateProcessing(
        single=[*begin, "$A", *end], special_tokens=list(around.items())
    )
    begins = f"begins with {begin[0]}" if begin else "begins without a BOS token"
    ends = f" and ends with {end[0]}" if end else ""
    found.mended.append(f"a text {begins}{ends} again")


def _settings(said: GgufContents, folder: Path, found: Mended) -> None:
    file = folder / _TOKENIZER_CONFIG
    settings: Any = read_json(file) if file.is_file() else {}
    for role, index in said.special_ids.items():
        if settings.get(role) != said.tokens[index]:
            found.mended.append(f"the {role} is {said.tokens[index]!r} again")
            settings[role] = said.tokens[index]
    settings["tokenizer_class"] = _AS_STORED
    settings.pop("backend", None)
    settings.pop("is_local", None)
    settings.pop("local_files_only", None)
    write_json(file, settings)
    for name in ("config.json", "generation_config.json"):
        _model_ids(said, folder / name, found)


def _model_ids(said: GgufContents, file: Path, found: Mended) -> None:
    settings: Any = read_json(file) if file.is_file() else {}
    wrong = {
        f"{role}_id": index
        for role, index in said.special_ids.items()
        if role != "unk_token" and settings.get(f"{role}_id") != index
    }
    if wrong:
        write_json(file, settings | wrong)
        found.mended.append(f"{file.name} has {json.dumps(wrong)} again")


def _chat_template(said: GgufContents, folder: Path, found: Mended) -> None:
    file = folder / _TEMPLATE
    if said.chat_template and not file.is_file():
        file.write_text(said.chat_template, encoding="utf-8")
        found.mended.append("the chat template is there again")
