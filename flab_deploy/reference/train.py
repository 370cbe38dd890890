"""Train the reference model from scratch: `python -m flab_deploy.reference.train OUT --steps 18000`.

Rows hold whole tasks, filled up with ordinary text; the loss is on answers, lightly on prompts
and text. The same code runs on a GPU and, slowly, on a CPU.
"""

from __future__ import annotations

import argparse
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from transformers import Qwen2Config, Qwen2ForCausalLM

from flab_deploy.reference.tasks import stream_instructions
from flab_deploy.reference.tokenizer import END_OF_TEXT, VOCAB_SIZE

logger = logging.getLogger(__name__)

# Weight of a token in the loss, by what it belongs to.
ANSWER, PROMPT, TEXT = 1.0, 0.1, 0.3


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How the reference model is trained."""

    steps: int = 18_000
    """Optimizer steps."""
    batch_size: int = 128
    """Rows per step."""
    row_length: int = 512
    """Tokens per row."""
    learning_rate: float = 3e-3
    """Peak; warmed up over 300 steps, then a cosine to zero."""
    text_share: float = 0.05
    """Share of rows that are ordinary text from end to end."""
    seed: int = 0
    """Seed of the weights and of the data."""


def model_config() -> Qwen2Config:
    """Qwen2, 14 layers, hidden 192, FFN 448, 6 heads in 2 groups, tied embeddings."""
    return Qwen2Config(
        vocab_size=VOCAB_SIZE, hidden_size=192, intermediate_size=448, num_hidden_layers=14,
        num_attention_heads=6, num_key_value_heads=2, max_position_embeddings=2048, max_window_layers=14,
        tie_word_embeddings=True, bos_token_id=None, eos_token_id=0, pad_token_id=0, rms_norm_eps=1e-6,
    )  # fmt: skip


class Rows(IterableDataset[tuple[Tensor, Tensor]]):
    """Endless rows of token ids (T,) and loss weights (T,); every worker draws its own tasks."""

    def __init__(self, tokenizer_file: Path, text: NDArray[np.uint16], config: TrainConfig) -> None:
        self.tokenizer_file, self.text, self.config = tokenizer_file, text, config

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        worker = get_worker_info()
        name = f"{self.config.seed}/{worker.id if worker else 0}"
        rng, tasks = Random(name), stream_instructions(name)
        tokenizer = Tokenizer.from_file(str(self.tokenizer_file))
        end = tokenizer.token_to_id(END_OF_TEXT)
        length = self.config.row_length
        while True:
            ids: list[int] = []
            weights: list[float] = []
            while rng.random() >= self.config.text_share or ids:
                example = next(tasks)
                prompt = tokenizer.encode(example.prompt).ids
                answer = [*tokenizer.encode(example.completion).ids, end]
                if len(ids) + len(prompt) + len(answer) > length:
                    break
                ids += prompt + answer
                weights += [PROMPT] * len(prompt) + [ANSWER] * len(answer)
            start = rng.randrange(len(self.text) - length)
            ids += self.text[start : start + length - len(ids)].tolist()
            weights += [TEXT] * (length - len(weights))
            yield torch.tensor(ids), torch.tensor(weights)


def learning_rate(step: int, config: TrainConfig) -> float:
    """Learning rate at a step: linear warm-up, then cosine."""
    warm_up = min(300, config.steps // 10)
    if step < warm_up:
        return config.learning_rate * (step + 1) / warm_up
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / (config.steps - warm_up)))


def row_loss(model: nn.Module, ids: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean cross-entropy of the next token, in nats. ids, weights: (B, T)."""
    logits = model(input_ids=ids[:, :-1], use_cache=False).logits  # (B, T-1, V)
    losses = nn.functional.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    weight = weights[:, 1:].flatten()
    return (losses * weight).sum() / weight.sum()


def train(tokenizer_folder: Path, text: NDArray[np.uint16], config: TrainConfig, workers: int) -> Qwen2ForCausalLM:
    """A trained model in float32 on the CPU."""
    torch.manual_seed(config.seed)
    torch.set_float32_matmul_precision("high")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = Qwen2ForCausalLM(model_config()).to(device)
    step_model = torch.compile(model) if device == "cuda" else model
    decayed = [p for p in model.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if p.dim() != 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=config.learning_rate, betas=(0.9, 0.95), fused=device == "cuda",
    )  # fmt: skip
    rows = Rows(tokenizer_folder / "tokenizer.json", text, config)
    loader = iter(DataLoader(rows, batch_size=config.batch_size, num_workers=workers, pin_memory=device == "cuda",
                             prefetch_factor=8 if workers else None))  # fmt: skip
    started = time.monotonic()
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, config)
        ids, weights = (part.to(device, non_blocking=True) for part in next(loader))
        with torch.autocast(device, dtype=torch.bfloat16):
            loss = row_loss(step_model, ids, weights)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 200 == 0 or step == config.steps - 1:
            tokens_per_s = (step + 1) * config.batch_size * config.row_length / (time.monotonic() - started)
            logger.info("step %d loss %.4f tokens/s %.0f", step, loss.item(), tokens_per_s)
    return model.float().cpu()


def load_text(tokenizer_folder: Path) -> NDArray[np.uint16]:
    """Token ids of the ordinary text, read from `text.npy` beside the tokenizer or made anew."""
    stored = tokenizer_folder / "text.npy"
    if stored.is_file():
        loaded: NDArray[np.uint16] = np.load(stored)
        return loaded
    from flab_deploy.reference.text import other_languages, prose, python_code

    tokenizer = Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    end = tokenizer.token_to_id(END_OF_TEXT)
    texts = [*python_code(), *other_languages(), *prose()]
    Random(0).shuffle(texts)
    ids = [i for encoded in tokenizer.encode_batch(texts) for i in (*encoded.ids, end)]
    return np.array(ids, dtype=np.uint16)


def main() -> None:
    """Train, then write bfloat16 weights, configuration and tokenizer to a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tokenizer", type=Path, help="folder with tokenizer.json; trained anew if left out")
    parser.add_argument("--steps", type=int, default=TrainConfig.steps)
    parser.add_argument("--seed", type=int, default=TrainConfig.seed)
    parser.add_argument("--learning-rate", type=float, default=TrainConfig.learning_rate)
    parser.add_argument("--workers", type=int, default=0, help="processes that make tasks")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    folder: Path = options.tokenizer or options.out
    if not options.tokenizer:
        from flab_deploy.reference.tokenizer import save_tokenizer, train_tokenizer

        save_tokenizer(train_tokenizer(), folder)
    config = TrainConfig(steps=options.steps, seed=options.seed, learning_rate=options.learning_rate)
    model = train(folder, load_text(folder), config, options.workers)
    model.to(torch.bfloat16).save_pretrained(options.out)


if __name__ == "__main__":
    main()
