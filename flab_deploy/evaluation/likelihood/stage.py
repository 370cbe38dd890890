"""Read the same texts with two models: how many bits does the candidate need in addition, and how
close are its predictions?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import get_args

from flab_deploy.artifacts import Artifact, Draft, run_stage
from flab_deploy.batches import original_ids
from flab_deploy.checkpoint import Checkpoint, read_config, resolve
from flab_deploy.decoder import check_supported, choose_device, choose_dtype, load_model
from flab_deploy.errors import ConfigError, PlanError
from flab_deploy.evaluation.likelihood.answer import answer_sentences
from flab_deploy.evaluation.likelihood.bits import bits_figures, verdict_on_all
from flab_deploy.evaluation.likelihood.encoding import encode_both, token_lengths
from flab_deploy.evaluation.likelihood.measure import TwoModels, measure
from flab_deploy.evaluation.likelihood.texts import load_texts, texts_digest, texts_for
from flab_deploy.evaluation.tasks.load import REFERENCE, source_digest, suite_name
from flab_deploy.records.document import as_json, write_lines, write_record
from flab_deploy.records.likelihood import (
    LIKELIHOOD_FILE,
    TEXTS_FILE,
    LikelihoodRecord,
    SetName,
    TextLine,
)
from flab_deploy.settings.likelihood import LikelihoodConfig


def likelihood(
    original: str | Path,
    candidate: str | Path,
    out: Path,
    config: LikelihoodConfig = LikelihoodConfig(),
    *,
    force: bool = False,
) -> Artifact:
    """How well both models predict the same texts: `likelihood.json`, and one line per text in
    `texts.jsonl`.

    Nothing is generated and nothing executed. Raises ConfigError for unusable texts or problems,
    ArtifactError for a missing file, UnsupportedModel for a model that cannot be read.
    """
    before, after = resolve(original), resolve(candidate)
    parents = {"original": before.digest, "candidate": after.digest}
    for checkpoint in (before, after):
        check_supported(read_config(checkpoint.path), checkpoint.path)
    if config.num_problems:
        parents["tasks"] = source_digest(config.suite)
    config = replace(config, texts=texts_for(config.texts, before.path))
    if config.texts:
        parents["texts"] = texts_digest(config.texts)
    names = [
        str(asked) if str(asked) == REFERENCE else found.path.name
        for asked, found in ((original, before), (candidate, after))
    ]

    def work(draft: Draft) -> None:
        record, lines = _read(before, after, names, config)
        write_lines(draft.path / TEXTS_FILE, lines)
        write_record(draft.path / LIKELIHOOD_FILE, record)
        draft.figures.update(as_json(record))

    return run_stage(
        out,
        kind="likelihood",
        module=__name__,
        parents=parents,
        config=asdict(config),
        work=work,
        force=force,
    )


def _read(
    original: Checkpoint, candidate: Checkpoint, names: Sequence[str], config: LikelihoodConfig
) -> tuple[LikelihoodRecord, list[TextLine]]:
    texts = load_texts(config)
    try:
        ids, unrelated = original_ids(original.path, candidate.path), None
    except PlanError as error:
        ids, unrelated = None, str(error).partition(";")[0]
    device = choose_device(config.device)
    dtypes = [choose_dtype(one.path, device, config.dtype) for one in (original, candidate)]
    longest = min(config.max_tokens, *(_context(one.path) for one in (original, candidate)))
    encoded = encode_both(original.path, candidate.path, texts, longest, config)
    if not encoded:
        raise ConfigError(
            f"none of the {len(texts)} texts has a completion within {longest} tokens; give "
            "shorter prompts or raise max_tokens"
        )
    models = TwoModels(
        original=load_model(original.path, dtypes[0], device),
        candidate=load_model(candidate.path, dtypes[1], device),
        original_ids=ids,
        token_lengths=None
        if unrelated
        else (token_lengths(original.path), token_lengths(candidate.path)),
    )
    lines = measure(models, encoded, config.batch_tokens)
    by_set = {name: [line for line in lines if line.set == name] for name in get_args(SetName)}
    sets = {name: bits_figures(own, config, unrelated) for name, own in by_set.items() if own}
    record = LikelihoodRecord(
        schema_version=1,
        answer=(),
        original=original.digest,
        candidate=candidate.digest,
        original_name=names[0],
        candidate_name=names[1],
        original_dtype=str(dtypes[0]).removeprefix("torch."),
        candidate_dtype=str(dtypes[1]).removeprefix("torch."),
        suite=suite_name(config.suite) if config.num_problems else None,
        max_loss=config.max_loss,
        confidence=config.confidence,
        max_tokens=longest,
        num_left_out=len(texts) - len(encoded),
        sets=sets,
        verdict=verdict_on_all(sets.values()),
    )
    return replace(record, answer=tuple(answer_sentences(record))), lines


def _context(path: Path) -> int:
    """Tokens that a model can read at once, as far as its settings say."""
    config = read_config(path)
    found = config.get("max_position_embeddings") or config.get("n_positions")
    return found if isinstance(found, int) else LikelihoodConfig.max_tokens
