"""What the model is given are the tokens that its own tokenizer, and so its servers, would give."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from flab_deploy.batches import encode
from flab_deploy.checkpoint import reference_path
from flab_deploy.corpus import Instruction, load_records
from flab_deploy.decoder import load_model, load_tokenizer
from flab_deploy.errors import ConfigError
from flab_deploy.evaluation.writing.completion import GenerateConfig, Request
from flab_deploy.evaluation.writing.generate import encode as encode_for_writing
from flab_deploy.evaluation.writing.generate import write
from flab_deploy.evaluation.writing.torch_steps import TorchSteps
from flab_deploy.importance import score
from flab_deploy.importance.score import CALIBRATION_FILE
from flab_deploy.prompting import Prompting, begin_ids, encode_prompts, tokenizer_of
from flab_deploy.settings.score import ScoreConfig
from flab_deploy.settings.shared.prompt import PromptSettings
from tests.architectures import SETTINGS, save_tiny

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
TEMPLATE = (
    "{% for m in messages %}"
    "{% if m['role'] == 'tool' %}{{ raise_exception('no tools') }}{% endif %}"
    "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% if thinking is defined %}"
    "<think>{% endif %}{% endif %}"
)
CODE = "def double(x):\n    return"


@pytest.fixture(scope="module")
def with_begin(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose tokenizer begins every text with its end-of-text token."""
    folder = tmp_path_factory.mktemp("begin") / "model"
    shutil.copytree(tiny_checkpoint, folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    first = next(iter(tokenizer.get_added_tokens_decoder().items()))
    tokenizer.post_processor = TemplateProcessing(
        single=[first[1].content, "$A"], special_tokens=[(first[1].content, first[0])]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def chat(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chat") / "model"
    shutil.copytree(tiny_checkpoint, folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


@pytest.mark.parametrize("model_type", sorted(SETTINGS))
def test_every_architecture_is_given_what_its_tokenizer_gives(
    model_type: str, tmp_path: Path
) -> None:
    tokenizer = tokenizer_of(save_tiny(tmp_path / "model", model_type))
    assert encode_prompts(tokenizer, [CODE]) == [tuple(tokenizer(CODE)["input_ids"])]


def test_the_reference_model_begins_with_nothing() -> None:
    assert begin_ids(tokenizer_of(reference_path())) == ()


def test_a_text_begins_with_what_the_tokenizer_puts_there_and_only_once(with_begin: Path) -> None:
    tokenizer = load_tokenizer(with_begin)
    (first,) = begin_ids(tokenizer)
    (ids,) = encode_prompts(tokenizer, [CODE])
    assert ids == tuple(tokenizer(CODE)["input_ids"]) and ids[0] == first
    assert encode_prompts(tokenizer, [tokenizer.decode(ids)]) == [ids]
    assert encode_prompts(tokenizer, [""]) == [()]


def test_training_scoring_and_writing_see_the_same_prompt(with_begin: Path) -> None:
    tokenizer = load_tokenizer(with_begin)
    (ids,) = encode_prompts(tokenizer, [CODE])
    assert encode_for_writing(tokenizer, [CODE]) == [ids]
    example = Instruction(prompt=CODE, completion=" 2 * x\n")
    ((encoded, start),) = encode(with_begin, [example], 7, 512)
    answer = tokenizer(" 2 * x\n", add_special_tokens=False)["input_ids"]
    assert (encoded, start) == ([*ids, *answer, 7], len(ids))
    # The model in this process continues exactly these ids.
    model = load_model(with_begin, torch.float32)
    with torch.inference_mode():
        best = int(model(torch.tensor([ids])).logits[0, -1].argmax())
    (written,) = write(
        TorchSteps(model), tokenizer, [Request(ids=ids)], GenerateConfig(max_new_tokens=1)
    )
    assert written.ids in ((best,), ())


def test_a_chat_model_is_asked_through_its_template(chat: Path) -> None:
    prompting = Prompting(chat)
    assert prompting.is_chat
    tokenizer = load_tokenizer(chat)
    text = prompting.prompt(CODE)
    assert text.endswith("<|im_start|>assistant\n```python\n" + CODE)
    asked = text.split("<|im_end|>")[0].removeprefix("<|im_start|>user\n")
    messages = [
        {"role": "user", "content": asked},
        {"role": "assistant", "content": "```python\n" + CODE},
    ]
    expected = tokenizer.apply_chat_template(messages, continue_final_message=True)["input_ids"]
    assert encode_prompts(tokenizer, [text]) == [tuple(expected)]


def test_a_whole_conversation_is_that_of_the_template(chat: Path) -> None:
    messages = [{"role": "user", "content": "Reverse a list."}]
    settings = PromptSettings(system_prompt="Be short.", template_variables=("thinking=true",))
    text = Prompting(chat, settings).chat(messages)
    assert text == (
        "<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\nReverse a list.<|im_end|>\n"
        "<|im_start|>assistant\n<think>"
    )


def test_an_example_ends_where_the_answers_block_does(chat: Path) -> None:
    example = Instruction(prompt=CODE, completion=" 2 * x")
    found = Prompting(chat).example(example)
    assert found.prompt == Prompting(chat).prompt(CODE)
    assert found.completion == " 2 * x\n```"
    assert Prompting(chat, PromptSettings(prompt_style="plain")).example(example) == example


def test_an_answer_in_words_follows_the_question_alone(chat: Path) -> None:
    example = Instruction(prompt="Reverse a list.", completion="\n\nSo:\n", prompt_form="words")
    found = Prompting(chat).example(example)
    assert found.prompt == "<|im_start|>user\nReverse a list.<|im_end|>\n<|im_start|>assistant\n"
    assert found.completion == "So:"


def test_scores_are_made_on_what_the_model_is_given(chat: Path, tmp_path: Path) -> None:
    config = ScoreConfig(
        corpus="reference", num_counted=40, num_calibration=4, max_layers_searched=1
    )
    scored = score(chat, tmp_path / "scores", config)
    kept = load_records(scored.path / CALIBRATION_FILE, Instruction)
    assert all(example.prompt.startswith("<|im_start|>user\n") for example in kept)


def test_a_base_model_has_no_chat(tiny_checkpoint: Path) -> None:
    with pytest.raises(ConfigError, match="has no chat template"):
        Prompting(tiny_checkpoint, PromptSettings(prompt_style="chat")).prompt(CODE)
    assert Prompting(tiny_checkpoint).prompt(CODE) == CODE


def test_a_template_that_refuses_is_named(chat: Path) -> None:
    with pytest.raises(ConfigError, match="refuses a conversation .*no tools"):
        Prompting(chat).chat([{"role": "tool", "content": "1"}, {"role": "user", "content": "x"}])


@pytest.mark.parametrize("text", ["thinking", "=true", "a b=1"])
def test_a_variable_needs_a_name_and_a_value(text: str, chat: Path) -> None:
    with pytest.raises(ConfigError, match="give NAME=VALUE"):
        Prompting(chat, PromptSettings(template_variables=(text,))).prompt(CODE)
