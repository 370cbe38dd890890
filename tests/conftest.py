"""Tiny random decoders with a real tokenizer, built in milliseconds."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM

from flab_deploy.home import flab_home

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
END_OF_TEXT = "<|endoftext|>"

MakeCheckpoint = Callable[..., Path]


TESTS = Path(__file__).parent
# What measures seconds, or is held to some, has the machine to itself: `make test` runs it last.
ALONE = ("sandbox", "serving/test_load.py")
# What takes longest begins first.
LONGEST = ("flows", "cli/test_examples.py", "pruning/test_engine_loads.py")


def pytest_configure(config: pytest.Config) -> None:
    """One thread for models this small: a second one mostly waits, for long where something else
    computes, too.
    """
    if config.option.markexpr != "benchmark" and "OMP_NUM_THREADS" not in os.environ:
        os.environ["OMP_NUM_THREADS"] = "1"
        torch.set_num_threads(1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs alone, and put what takes longest first."""
    for item in items:
        if _file_of(item).startswith(ALONE):
            item.add_marker(pytest.mark.alone)
    items.sort(key=_turn_of)


def _turn_of(item: pytest.Item) -> int:
    starts = (turn for turn, path in enumerate(LONGEST) if _file_of(item).startswith(path))
    return next(starts, len(LONGEST))


def _file_of(item: pytest.Item) -> str:
    return item.path.relative_to(TESTS).as_posix()


@pytest.fixture(scope="session", autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A home of this session, so that nothing an earlier one left behind decides a test; the
    installed engines are in it.
    """
    home, engines = tmp_path_factory.mktemp("home"), flab_home() / "engines"
    engines.mkdir(exist_ok=True)
    (home / "engines").symlink_to(engines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLAB_HOME", str(home))
        yield


def train_tiny_tokenizer(folder: Path, vocab_size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    sources = sorted(Path(os.__file__).parent.glob("*.py"))[:25]
    tokenizer.train_from_iterator((path.read_text(encoding="utf-8") for path in sources), trainer)
    tokenizer.add_special_tokens([END_OF_TEXT, "<|im_end|>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END_OF_TEXT,
        "pad_token": END_OF_TEXT,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return tokenizer


@pytest.fixture(scope="session")
def make_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> MakeCheckpoint:
    """A function that writes a random checkpoint of a supported architecture and returns its
    directory.
    """

    def make(
        model_type: str = "qwen2", *, tied: bool = True, dtype: torch.dtype = torch.float32
    ) -> Path:
        folder = tmp_path_factory.mktemp(f"{model_type}-{'tied' if tied else 'untied'}")
        tokenizer = train_tiny_tokenizer(folder, 700)
        torch.manual_seed(0)
        end = tokenizer.token_to_id(END_OF_TEXT)
        config = AutoConfig.for_model(
            model_type,
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=5,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            max_position_embeddings=512,
            tie_word_embeddings=tied,
            bos_token_id=None,
            eos_token_id=end,
            pad_token_id=end,
        )
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
        model.save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def tiny_checkpoint(make_checkpoint: MakeCheckpoint) -> Path:
    """A random Qwen2 checkpoint with tied embeddings."""
    return make_checkpoint()


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of 127.0.0.1 where nobody answers, kept from everybody who might."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])
