"""Own greedy loop against transformers' on a tiny random decoder."""

from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from flab_deploy.decoder import load_model, load_tokenizer
from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.writing.completion import GenerateConfig, Request
from flab_deploy.evaluation.writing.generate import encode, generate, write
from flab_deploy.evaluation.writing.torch_steps import TorchSteps

PROMPTS = [
    "def f(x):\n    return",
    "import os",
    "a",
    "for name in names:\n    print(name, file=sys.stderr)",
    "class A:",
    "while True:\n    x = x + 1",
    "try:",
    "with open(path) as stream:\n    data = stream.read()",
    "x = [",
    "# Comment",
]


@pytest.fixture(scope="module")
def loaded(tiny_checkpoint: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A random model that repeats itself less than a fresh one, so that completions differ."""
    model, tokenizer = load_model(tiny_checkpoint, torch.float32), load_tokenizer(tiny_checkpoint)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    return model, tokenizer


def _expected(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str, limit: int
) -> list[int]:
    ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False).input_ids
    with torch.inference_mode():
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=limit
        )
    new: list[int] = out[0, ids.shape[1] :].tolist()
    return new


@pytest.fixture(scope="module")
def expected(loaded: tuple[PreTrainedModel, PreTrainedTokenizerBase]) -> list[list[int]]:
    """What transformers' own loop makes of each prompt."""
    return [_expected(*loaded, prompt, 70) for prompt in PROMPTS]


@pytest.mark.parametrize("batch_size", [1, 3, 10])
def test_equals_transformers_one_by_one(
    loaded: tuple[PreTrainedModel, PreTrainedTokenizerBase],
    expected: list[list[int]],
    batch_size: int,
) -> None:
    model, tokenizer = loaded
    found = generate(
        model, tokenizer, PROMPTS, GenerateConfig(batch_size=batch_size, max_new_tokens=70)
    )
    for ids, completion in zip(expected, found, strict=True):
        ended = ids[-1] == tokenizer.eos_token_id
        assert list(completion.ids) == (ids[:-1] if ended else ids)
        assert completion.truncated is not ended and (ended or len(ids) == 70)
        assert completion.text == tokenizer.decode(list(completion.ids))


def test_rows_that_end_leave_the_batch_and_the_rest_goes_on(
    loaded: tuple[PreTrainedModel, PreTrainedTokenizerBase],
    expected: list[list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, tokenizer = loaded
    alone = [ids[:40] for ids in expected]
    # Tokens that some completions reach early and others late or never become ends of text.
    ends = [ids[4 + 5 * (i % 4)] for i, ids in enumerate(alone)][:5]
    monkeypatch.setattr(model.generation_config, "eos_token_id", ends)
    found = generate(model, tokenizer, PROMPTS, GenerateConfig(batch_size=10, max_new_tokens=40))
    firsts = []
    for ids, completion in zip(alone, found, strict=True):
        stops = [*ends, tokenizer.eos_token_id]
        first = next((i for i, token in enumerate(ids) if token in stops), None)
        assert list(completion.ids) == ids[:first]
        assert completion.truncated is (first is None)
        firsts.append(first)
    assert len(set(firsts)) > 2
    # Limits at which some rows end with the very last step.
    for limit in sorted({first + 1 for first in firsts if first is not None}):
        cut = generate(
            model, tokenizer, PROMPTS, GenerateConfig(batch_size=10, max_new_tokens=limit)
        )
        assert [c.ids for c in cut] == [c.ids[:limit] for c in found]
        assert [c.truncated for c in cut] == [first is None or first >= limit for first in firsts]


def test_stops_after_the_first_line(
    loaded: tuple[PreTrainedModel, PreTrainedTokenizerBase],
) -> None:
    model, tokenizer = loaded
    whole = generate(model, tokenizer, PROMPTS, GenerateConfig(max_new_tokens=120))
    found = generate(
        model, tokenizer, PROMPTS, GenerateConfig(max_new_tokens=120, stop_at_newline=True)
    )
    assert any("\n" in completion.text for completion in found)
    for completion, full in zip(found, whole, strict=True):
        assert full.text.startswith(completion.text)
        assert completion.truncated is ("\n" not in completion.text)
        assert "\n" not in tokenizer.decode(list(completion.ids[:-1]))


def test_a_full_context_truncates(loaded: tuple[PreTrainedModel, PreTrainedTokenizerBase]) -> None:
    model, tokenizer = loaded
    limit = model.config.max_position_embeddings
    long = "x = 1\n" * limit
    found = generate(model, tokenizer, ["a", long], GenerateConfig(max_new_tokens=5, batch_size=1))
    assert [len(c.ids) for c in found] == [5, 0] and found[1].truncated


def test_nothing_in_nothing_out(loaded: tuple[PreTrainedModel, PreTrainedTokenizerBase]) -> None:
    assert generate(*loaded, []) == []
    with pytest.raises(ConfigError, match="prompt 1 is empty"):
        generate(*loaded, ["a", ""])
    with pytest.raises(ConfigError, match="at least 1"):
        generate(*loaded, ["a"], GenerateConfig(batch_size=0))


@pytest.mark.parametrize("batch_size", [1, 3, 10])
def test_samples_depend_on_prompt_seed_and_number_alone(
    loaded: tuple[PreTrainedModel, PreTrainedTokenizerBase], batch_size: int
) -> None:
    model, tokenizer = loaded
    requests = [
        Request(ids=ids, sample=n) for ids in encode(tokenizer, PROMPTS[:5]) for n in range(2)
    ]

    def sample(size: int, **settings: float) -> list[str]:
        config = GenerateConfig(
            batch_size=size, max_new_tokens=20, **{"temperature": 0.8, "top_p": 0.9, **settings}
        )  # type: ignore[arg-type]
        return [c.text for c in write(TorchSteps(model), tokenizer, requests, config)]

    found = sample(batch_size)
    assert found == sample(10)
    assert len(set(found)) > 5 and found != sample(10, seed=1)
    # A share of the probability so small that only the most likely token is left.
    greedy = [
        c.text for c in generate(model, tokenizer, PROMPTS[:5], GenerateConfig(max_new_tokens=20))
    ]
    assert sample(batch_size, top_p=1e-9)[::2] == greedy


def test_draws_follow_the_distribution(
    loaded: tuple[PreTrainedModel, PreTrainedTokenizerBase],
) -> None:
    model, tokenizer = loaded
    (ids,) = encode(tokenizer, ["a"])
    requests = [Request(ids=ids, sample=n) for n in range(3000)]
    written = write(
        TorchSteps(model), tokenizer, requests, GenerateConfig(max_new_tokens=1, temperature=0.5)
    )
    with torch.inference_mode():
        expected = (model(input_ids=torch.tensor([ids])).logits[0, -1].float() / 0.5).softmax(-1)
    counts = torch.zeros_like(expected)
    for completion in written:
        for token in completion.ids or (tokenizer.eos_token_id,):
            counts[token] += 1
    top = expected.topk(5).indices
    deviation = (expected[top] * (1 - expected[top]) / 3000).sqrt()
    assert ((counts[top] / 3000 - expected[top]).abs() < 4.5 * deviation).all()


def test_what_is_known_is_not_written_again(
    loaded: tuple[PreTrainedModel, PreTrainedTokenizerBase],
) -> None:
    model, tokenizer = loaded
    requests = [Request(ids=ids) for ids in encode(tokenizer, PROMPTS)]
    config = GenerateConfig(batch_size=3, max_new_tokens=9)
    told: list[list[int]] = []
    whole = write(
        TorchSteps(model), tokenizer, requests, config, on_done=lambda at, _: told.append(list(at))
    )
    assert sorted(i for at in told for i in at) == list(range(len(PROMPTS))) and len(told) == 4
    known = {i: whole[i] for at in told[:2] for i in at}
    rest: list[list[int]] = []
    again = write(
        TorchSteps(model), tokenizer, requests, config, known, lambda at, _: rest.append(list(at))
    )
    assert rest == told[2:] and again == whole


def test_a_row_that_needs_no_more_is_not_continued(
    loaded: tuple[PreTrainedModel, PreTrainedTokenizerBase],
) -> None:
    model, tokenizer = loaded
    requests = [Request(ids=ids) for ids in encode(tokenizer, PROMPTS[:4])]
    config = GenerateConfig(max_new_tokens=64)
    whole = write(TorchSteps(model), tokenizer, requests, config)
    longest = max(range(4), key=lambda i: len(whole[i].ids))
    assert len(whole[longest].ids) > 16
    found = write(
        TorchSteps(model),
        tokenizer,
        requests,
        config,
        stop=lambda i, text: i == longest and len(text) > 5,
    )
    assert all(found[i] == whole[i] for i in range(4) if i != longest)
    assert found[longest].ids == whole[longest].ids[:16] and not found[longest].truncated
