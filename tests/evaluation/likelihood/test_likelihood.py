"""Two models on the same texts, against a plain implementation that reads one at a time."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from flab_deploy.artifacts import Artifact
from flab_deploy.decoder import load_model
from flab_deploy.errors import ArtifactError, ConfigError
from flab_deploy.evaluation.likelihood import measure as measuring
from flab_deploy.evaluation.likelihood.encoding import encode_both, encode_texts
from flab_deploy.evaluation.likelihood.stage import likelihood
from flab_deploy.evaluation.likelihood.texts import ScoredText, load_texts
from flab_deploy.importance import ScoreConfig, score
from flab_deploy.prompting import encode_completions, tokenizer_of
from flab_deploy.pruning import PlanConfig, plan, prune
from flab_deploy.records.document import read_lines, read_record
from flab_deploy.records.likelihood import LIKELIHOOD_FILE, TEXTS_FILE, LikelihoodRecord, TextLine
from flab_deploy.settings.likelihood import LikelihoodConfig
from flab_deploy.tokenizer import load_tokenizer
from tests.architectures import save_tiny
from tests.conftest import MakeCheckpoint, train_tiny_tokenizer
from tests.field_data import HUMANEVAL_FILES, field_file
from tests.in_process import flab

PROBLEMS = LikelihoodConfig(texts="", num_problems=6, dtype="float32")


def record_of(artifact: Artifact) -> LikelihoodRecord:
    return read_record(LikelihoodRecord, artifact.path / LIKELIHOOD_FILE)


def lines_of(artifact: Artifact) -> list[TextLine]:
    return read_lines(TextLine, artifact.path / TEXTS_FILE)


def write_texts(path: Path, *rows: Mapping[str, object]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def shifted(model: Path, folder: Path, scale: float) -> Path:
    """The model with every weight matrix moved by noise of a known size."""
    folder.mkdir()
    for file in model.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    weights = load_file(folder / "model.safetensors")
    torch.manual_seed(1)
    noisy = {name: w + scale * w.std() * torch.randn_like(w) for name, w in weights.items()}
    save_file(noisy, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module", params=["qwen2", "gemma2", "granite"])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A tiny model, two of them with transformed logits, and one that is close to it."""
    root = tmp_path_factory.mktemp(request.param)
    model = save_tiny(root / "model", request.param)
    return model, shifted(model, root / "shifted", 0.05)


@pytest.fixture(scope="module")
def pruned(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cut of the tiny checkpoint that has fewer tokens."""
    root = tmp_path_factory.mktemp("cut")
    score(
        tiny_checkpoint,
        root / "scores",
        ScoreConfig(corpus="reference", num_counted=40, num_calibration=8),
    )
    cut = PlanConfig(reduction=0.3, max_layers_dropped=0)
    plan(tiny_checkpoint, root / "scores", root / "plan", cut)
    return prune(tiny_checkpoint, root / "plan", root / "pruned").path


def plain(path: Path, text: ScoredText) -> tuple[float, torch.Tensor, list[str]]:
    """Bits of a completion, log-probabilities (P, V) before each of its tokens, and all tokens."""
    model, tokenizer = load_model(path, torch.float32), tokenizer_of(path)
    (prompt,), (completion,) = (
        encode_completions(tokenizer, [part]) for part in (text.prompt, text.completion)
    )
    ids = [*prompt, *completion]
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([ids])).logits[0].double()
    rows = torch.log_softmax(logits, dim=-1)[len(prompt) - 1 : -1]
    nats = -sum(float(row[token]) for row, token in zip(rows, completion, strict=True))
    return nats / math.log(2), rows, list(tokenizer.convert_ids_to_tokens(ids))


def check_against_plain(original: Path, candidate: Path, artifact: Artifact) -> None:
    """Every line of an artifact is what the plain way finds."""
    known, kept = (load_tokenizer(path).get_vocab() for path in (original, candidate))
    names = sorted(kept, key=lambda token: kept[token])
    both = torch.tensor([known[name] for name in names])
    for text, line in zip(load_texts(PROBLEMS), lines_of(artifact), strict=True):
        before, p, tokens = plain(original, text)
        after, q, others = plain(candidate, text)
        assert line.text_id == text.text_id
        assert line.num_bytes == len(text.completion.encode())
        assert line.original_bits == pytest.approx(before, rel=1e-4)
        assert line.candidate_bits == pytest.approx(after, rel=1e-4)
        own, other = ("".join(names) for names in (tokens, others))
        assert own == other
        places = [
            (i, j)
            for i in range(len(p))
            for j in range(len(q))
            if "".join(tokens[i - len(p) :]) == "".join(others[j - len(q) :])
        ]
        assert line.num_compared == len(places) >= 1
        p, q = p[[i for i, _ in places]], q[[j for _, j in places]]
        kept_p = torch.log_softmax(p[:, both], dim=-1)
        kept_q = torch.log_softmax(q[:, : len(names)], dim=-1)
        kl = float((kept_p.exp() * (kept_p - kept_q)).sum())
        best = [names[i] if i < len(names) else "" for i in q.argmax(1).tolist()]
        equal = sum(known[name] == i for name, i in zip(best, p.argmax(1).tolist(), strict=True))
        assert line.kl_nats == pytest.approx(kl, rel=1e-3, abs=1e-4)
        assert line.num_top_1_equal == equal
        dropped = float((1 - p[:, both].exp().sum(1)).sum())
        assert line.dropped_probability == pytest.approx(dropped, rel=1e-3, abs=1e-4)


def test_every_figure_is_that_of_a_plain_implementation(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    done = likelihood(*pair, tmp_path / "read", PROBLEMS)
    check_against_plain(*pair, done)
    found = record_of(done).sets["problems"]
    lines = lines_of(done)
    before, after = (sum(getattr(t, f"{m}_bits") for t in lines) for m in ("original", "candidate"))
    assert found.ratio == pytest.approx(after / before)
    assert found.original_bits_per_byte == pytest.approx(before / sum(t.num_bytes for t in lines))
    assert found.agreement is not None
    assert found.agreement.token_share == 1
    assert found.agreement.kl_nats > 0
    assert found.agreement.top_1 < 1


def test_a_cut_of_the_vocabulary_is_compared_over_the_tokens_that_are_left(
    tiny_checkpoint: Path, pruned: Path, tmp_path: Path
) -> None:
    done = likelihood(tiny_checkpoint, pruned, tmp_path / "read", PROBLEMS)
    check_against_plain(tiny_checkpoint, pruned, done)
    found = record_of(done).sets["problems"].agreement
    assert found is not None
    assert found.dropped_probability > 0.1


def test_small_batches_and_slices_change_nothing(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = lines_of(likelihood(*pair, tmp_path / "whole", PROBLEMS))
    monkeypatch.setattr(measuring, "_LOGITS_BYTES", 3 * 16 * 2 * 400)
    narrow = LikelihoodConfig(texts="", num_problems=6, dtype="float32", batch_tokens=1)
    parts = lines_of(likelihood(*pair, tmp_path / "parts", narrow))
    assert [t.text_id for t in parts] == [t.text_id for t in whole]
    for one, other in zip(parts, whole, strict=True):
        assert one.original_bits == pytest.approx(other.original_bits, rel=1e-5)
        assert one.kl_nats == pytest.approx(other.kl_nats, rel=1e-3, abs=1e-4)
        assert one.num_top_1_equal == other.num_top_1_equal


def test_a_model_is_exactly_like_itself(tiny_checkpoint: Path, tmp_path: Path) -> None:
    done = likelihood(tiny_checkpoint, tiny_checkpoint, tmp_path / "read", PROBLEMS)
    found = record_of(done).sets["problems"]
    assert (found.difference, found.ratio, found.detectable_loss) == (0, 1, 0)
    assert (found.difference_interval, found.ratio_interval) == ((0, 0), (1, 1))
    assert found.verdict == record_of(done).verdict == "shown"
    assert found.agreement is not None
    close = found.agreement
    assert (close.top_1, close.kl_nats, close.dropped_probability) == (1, 0, 0)
    assert all(line.original_bits == line.candidate_bits for line in lines_of(done))


def test_a_larger_perturbation_loses_more_and_is_not_shown(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    found = []
    for scale in (0.001, 30.0):
        other = shifted(tiny_checkpoint, tmp_path / f"by-{scale}", scale)
        config = LikelihoodConfig(texts="", num_problems=60, dtype="float32")
        done = likelihood(tiny_checkpoint, other, tmp_path / f"read-{scale}", config)
        found.append(record_of(done).sets["problems"])
    near, far = found
    assert near.agreement is not None
    assert far.agreement is not None
    assert near.agreement.kl_nats < far.agreement.kl_nats
    assert near.agreement.top_1 > far.agreement.top_1
    assert (near.verdict, far.verdict) == ("shown", "not shown")
    assert far.ratio_interval is not None
    assert far.ratio_interval[0] > 1.05


def test_held_out_code_is_clustered_by_file_and_tested_by_itself(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    rows = [
        {
            "prompt": f"def f{i}(n):",
            "completion": f"\n    return n + {i}\n",
            "source": f"m{i % 3}.py:{i}",
        }
        for i in range(12)
    ]
    texts = write_texts(tmp_path / "t.jsonl", *rows, {"text": "import os\n\nprint(os.name)\n"})
    config = LikelihoodConfig(num_problems=4, texts=texts, dtype="float32")
    done = likelihood(tiny_checkpoint, tiny_checkpoint, tmp_path / "read", config)
    sets = record_of(done).sets
    assert list(sets) == ["problems", "texts"]
    assert (sets["texts"].num_texts, sets["texts"].num_clusters) == (13, 4)
    last = lines_of(done)[-1]
    assert (last.text_id, last.cluster) == ("t.jsonl:13", "t.jsonl:13")
    assert last.num_bytes == len(" os\n\nprint(os.name)\n")  # the first word is given
    alone = LikelihoodConfig(num_problems=0, texts=texts, num_texts=5)
    names = [text.text_id for text in load_texts(alone)]
    assert names == ["m0.py:0", "m2.py:2", "m2.py:5", "m1.py:7", "m1.py:10"]


def test_long_texts_are_cut_at_the_same_character_for_both(
    tiny_checkpoint: Path, make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for file in tiny_checkpoint.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    train_tiny_tokenizer(other, 300)
    body = "".join(f"    value_{i} = compute({i}, other_{i})\n" for i in range(40))
    text = ScoredText(text_id="t", set="texts", cluster="t", prompt="def f():\n", completion=body)
    whole = [len(encode_texts(path, [text])[0][0]) for path in (tiny_checkpoint, other)]
    assert whole[0] != whole[1] and min(whole) > 100
    (found,) = encode_both(tiny_checkpoint, other, [text], 100)
    assert found.cut
    assert text.completion.startswith(found.text.completion)
    assert found.text.completion.endswith("\n")
    assert max(len(found.original[0]), len(found.candidate[0])) <= 100
    assert max(len(found.original[0]), len(found.candidate[0])) > 60
    assert encode_both(tiny_checkpoint, other, [text], 3) == []  # the prompt alone is longer


def test_unrelated_tokens_are_not_compared_and_that_is_said(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    other = save_tiny(tmp_path / "other", "llama")  # with a tokenizer of fewer tokens
    done = likelihood(other, tiny_checkpoint, tmp_path / "read", PROBLEMS)
    found = record_of(done).sets["problems"]
    assert found.agreement is None
    assert found.agreement_reason is not None and "is not in" in found.agreement_reason
    assert f"not measured: {found.agreement_reason}" in " ".join(record_of(done).answer)
    assert found.original_bits_per_byte > 0
    assert all(line.num_compared == 0 for line in lines_of(done))


def test_texts_that_both_read_as_other_tokens_are_compared_where_both_begin_one(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """A tokenizer whose tokens the original has all, but which joins fewer of them."""
    fewer = save_tiny(tmp_path / "fewer", "llama")
    texts = write_texts(tmp_path / "t.jsonl", {"prompt": "a", "completion": "b = configuration"})
    config = LikelihoodConfig(num_problems=0, texts=texts, dtype="float32")
    (line,) = lines_of(likelihood(tiny_checkpoint, fewer, tmp_path / "read", config))
    assert line.num_original_tokens < line.num_candidate_tokens
    tokens, others = (
        [tokenizer.id_to_token(i) for i in tokenizer.encode("b = configuration").ids]
        for tokenizer in (load_tokenizer(tiny_checkpoint), load_tokenizer(fewer))
    )
    starts, other_starts = (
        {len("".join(names[:n])) for n in range(len(names))} for names in (tokens, others)
    )
    assert line.num_compared == len(starts & other_starts) < line.num_candidate_tokens
    assert line.num_compared >= 4  # also behind the first token that differs


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("{", ConfigError, r"t.jsonl:1: not valid JSON"),
        ('{"prompt": "a"}', ConfigError, r"t.jsonl:1: field 'completion' is missing"),
        ('{"text": 3}', ConfigError, r"t.jsonl:1: field 'text' is missing or not text"),
        ('{"text": "one\\ud800 two"}', ConfigError, "half a character"),
        ('{"prompt": "a", "completion": ""}', ConfigError, "none of the 1 texts has a completion"),
        ('{"text": "word"}', ConfigError, "none of the 1 texts has a completion"),
        ("", ConfigError, "holds no texts"),
        (None, ArtifactError, "no texts at .*t.jsonl; give a JSON-lines file"),
    ],
)
def test_texts_that_cannot_be_read_are_refused_in_one_line(
    tiny_checkpoint: Path, tmp_path: Path, content: str | None, error: type, message: str
) -> None:
    file = tmp_path / "t.jsonl"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    config = LikelihoodConfig(num_problems=0, texts=str(file))
    with pytest.raises(error, match=message) as caught:
        likelihood(tiny_checkpoint, tiny_checkpoint, tmp_path / "read", config)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "read").exists()


def test_nothing_to_read_is_refused() -> None:
    with pytest.raises(ConfigError, match="num_problems is 0 and no texts are given"):
        LikelihoodConfig(texts="", num_problems=0)


def test_prompts_that_are_all_too_long_are_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    config = LikelihoodConfig(texts="", num_problems=2, max_tokens=16)
    with pytest.raises(ConfigError, match="has a completion within 16 tokens"):
        likelihood(tiny_checkpoint, tiny_checkpoint, tmp_path / "read", config)


def test_the_verb_says_what_was_found_and_ends_as_the_claim_does(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    model = str(tiny_checkpoint)
    asked = ("likelihood", model, model, "--out", str(tmp_path / "a"), "--num-problems", "3")
    done = flab(*asked, "--require-shown")
    assert done.returncode == 0, done.stderr
    assert "That it needs at most 5 % more is shown (p = 0.0" in done.stdout
    assert "reference solutions      9" in done.stdout
    printed: dict[str, Any] = json.loads(flab(*asked, "--json").stdout)
    assert printed["figures"]["verdict"] == "shown"
    worse = str(shifted(tiny_checkpoint, tmp_path / "worse", 30.0))
    refused = flab("likelihood", model, worse, "--out", str(tmp_path / "b"), "--require-shown")
    assert refused.returncode == 1


def test_humaneval_is_read_as_it_is_judged(tiny_checkpoint: Path, tmp_path: Path) -> None:
    file = field_file(*HUMANEVAL_FILES)
    config = LikelihoodConfig(texts="", suite=str(file), max_tokens=512)
    done = record_of(likelihood(tiny_checkpoint, tiny_checkpoint, tmp_path / "read", config))
    found = done.sets["problems"]
    assert done.suite == "HumanEval"
    assert found.num_texts + done.num_left_out == 164
    assert found.num_clusters == found.num_texts
    assert np.isfinite(found.original_bits_per_byte)
