"""Train the reference model from scratch: `python -m flab_deploy.reference.train OUT --steps 4000`.

Rows hold whole tasks, filled up with ordinary text; the loss is on answers, lightly on text.
Made for one CPU core with bfloat16 matrix units: short rows, few and wide heads, the output
layer only where there is a loss. An interrupted training goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import Qwen2Config, Qwen2ForCausalLM

from flab_deploy.reference.tasks import stream_instructions
from flab_deploy.reference.tokenizer import END_OF_TEXT, VOCAB_SIZE, save_tokenizer, train_tokenizer

logger = logging.getLogger(__name__)

# Weight of a token in the loss, by what it belongs to.
ANSWER, PROMPT, TEXT = 1.0, 0.0, 0.2
# Prompt tokens have no loss: most are digits of examples that nothing could predict.
_POOL = 512


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How the reference model is trained."""

    steps: int = 4_000
    """Optimizer steps."""
    batch_size: int = 64
    """Rows per step."""
    row_length: int = 128
    """Tokens per row."""
    learning_rate: float = 4e-3
    """Peak; linear warm-up over 100 steps, constant, linear to zero over the last 40 %."""
    weight_decay: float = 0.05
    """Of matrices; none on norms and biases."""
    text_share: float = 0.04
    """Share of rows that are ordinary text from end to end."""
    shares: tuple[int, int, int] = (70, 12, 18)
    """Weights of function synthesis, output prediction and chain of thought among the examples."""
    stop_after: int = 0
    """Stop at this step of a longer schedule, to go on with other settings; 0 runs to the end."""
    seed: int = 0
    """Seed of the weights and of the data."""


def model_config() -> Qwen2Config:
    """Qwen2, 14 layers, hidden 192, FFN 448, 3 heads of 64 in one group, tied embeddings."""
    return Qwen2Config(
        vocab_size=VOCAB_SIZE,
        hidden_size=192,
        intermediate_size=448,
        num_hidden_layers=14,
        num_attention_heads=3,
        num_key_value_heads=1,
        max_position_embeddings=2048,
        max_window_layers=14,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
        rms_norm_eps=1e-6,
        attn_implementation="eager",  # type: ignore[call-arg]  # taken by the base class
    )


def _encoded_examples(
    tokenizer: Tokenizer, config: TrainConfig
) -> Iterator[tuple[list[int], list[float]]]:
    end = int(tokenizer.token_to_id(END_OF_TEXT) or 0)
    for example in stream_instructions(str(config.seed), shares=config.shares):
        prompt = tokenizer.encode(example.prompt).ids
        answer = [*tokenizer.encode(example.completion).ids, end]
        yield prompt + answer, [PROMPT] * len(prompt) + [ANSWER] * len(answer)


def rows(
    tokenizer: Tokenizer, text: NDArray[np.uint16], config: TrainConfig
) -> Iterator[tuple[list[int], list[float]]]:
    """Endless rows of token ids (T,) and loss weights (T,): whole examples, longest that fits next,
    then text.
    """
    rng = Random(config.seed)
    examples = _encoded_examples(tokenizer, config)
    pool: list[tuple[list[int], list[float]]] = []
    length = config.row_length
    while True:
        while len(pool) < _POOL:
            example = next(examples)
            if len(example[0]) <= length:
                pool.append(example)
        ids: list[int] = []
        weights: list[float] = []
        if rng.random() >= config.text_share:
            first_ids, first_weights = pool.pop(rng.randrange(len(pool)))
            ids, weights = list(first_ids), list(first_weights)
            while fitting := [
                i for i, (more, _) in enumerate(pool) if len(ids) + len(more) <= length
            ]:
                more_ids, more_weights = pool.pop(max(fitting, key=lambda i: len(pool[i][0])))
                ids += more_ids
                weights += more_weights
        start = rng.randrange(len(text) - length)
        filling = length - len(ids)
        yield ids + text[start : start + filling].tolist(), weights + [TEXT] * filling


def batches(
    tokenizer: Tokenizer, text: NDArray[np.uint16], config: TrainConfig
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches of ids (B, T) int64 and weights (B, T) float32."""
    stream = rows(tokenizer, text, config)
    while True:
        drawn = [next(stream) for _ in range(config.batch_size)]
        yield (
            torch.tensor([ids for ids, _ in drawn]),
            torch.tensor([weights for _, weights in drawn]),
        )


def learning_rate(step: int, config: TrainConfig) -> float:
    """Learning rate at a step."""
    warm_up, decay = min(100, config.steps // 10), int(config.steps * 0.4)
    if step < warm_up:
        return config.learning_rate * (step + 1) / warm_up
    return config.learning_rate * min(1.0, (config.steps - step) / decay)


def answer_loss(model: Qwen2ForCausalLM, ids: Tensor, positions: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean cross-entropy in nats of the tokens after `positions` (P,), of weights (P,);
    ids: (B, T).
    """
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state.flatten(0, 1)[
        positions
    ]  # (P, D)
    logits = model.lm_head(hidden)  # (P, V)
    losses = nn.functional.cross_entropy(
        logits.float(), ids.flatten()[positions + 1], reduction="none"
    )
    return (losses * weights).sum() / weights.sum()


def select_positions(weights: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` positions (P,) whose next token weighs most, and the weights (P,); a fixed count
    compiles once.
    """
    following = weights.roll(-1, dims=1)
    following[:, -1] = 0.0
    # Without the very last position, which nothing follows: it must not fill up the count.
    top = following.flatten()[:-1].topk(count, sorted=False)
    return top.indices, top.values


class Trainer:
    """bfloat16 weights for the forward and backward pass, float32 masters for the optimizers."""

    def __init__(self, config: TrainConfig) -> None:
        torch.manual_seed(config.seed)
        self.config, self.step = config, 0
        self.model = Qwen2ForCausalLM(model_config())
        self.masters = [p.detach().clone() for p in self.model.parameters()]
        nn.Module.to(self.model, torch.bfloat16)
        named = list(zip((n for n, _ in self.model.named_parameters()), self.masters, strict=True))
        hidden = [p for n, p in named if p.dim() == 2 and "embed" not in n]
        embedding = [p for n, p in named if p.dim() == 2 and "embed" in n]
        vectors = [p for _, p in named if p.dim() != 2]
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.Muon(
                hidden,
                lr=config.learning_rate,
                weight_decay=config.weight_decay,
                momentum=0.95,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(
                [
                    {"params": embedding, "weight_decay": config.weight_decay},
                    {"params": vectors, "weight_decay": 0.0},
                ],
                lr=config.learning_rate,
                betas=(0.9, 0.95),
            ),
        ]
        self.loss = torch.compile(answer_loss)

    def update(self, ids: Tensor, weights: Tensor) -> float:
        """One optimizer step; the loss in nats."""
        positions, selected = select_positions(weights, int(weights.numel() * 0.45))
        loss = self.loss(self.model, ids, positions, selected)
        loss.backward()
        for master, parameter in zip(self.masters, self.model.parameters(), strict=True):
            assert parameter.grad is not None
            master.grad = parameter.grad.float()
            parameter.grad = None
        nn.utils.clip_grad_norm_(self.masters, 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(self.step, self.config)
            optimizer.step()
        with torch.no_grad():
            for master, parameter in zip(self.masters, self.model.parameters(), strict=True):
                parameter.copy_(master)
        self.step += 1
        return float(loss.item())

    def save(self, path: Path) -> None:
        """Write everything needed to go on."""
        state = {
            "step": self.step,
            "masters": self.masters,
            "optimizers": [o.state_dict() for o in self.optimizers],
        }
        torch.save(state, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint that `save` wrote."""
        state = torch.load(path, weights_only=True)
        self.step = state["step"]
        with torch.no_grad():
            for master, saved, parameter in zip(
                self.masters, state["masters"], self.model.parameters(), strict=True
            ):
                master.copy_(saved)
                parameter.copy_(saved)
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)


def train(folder: Path, checkpoint: Path, config: TrainConfig) -> Qwen2ForCausalLM:
    """A trained model in bfloat16; resumes from `checkpoint`, at the same place in the data, if it
    exists.
    """
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    trainer = Trainer(config)
    if checkpoint.exists():
        trainer.load(checkpoint)
    last = min(config.steps, config.stop_after or config.steps)
    stream = islice(batches(tokenizer, load_text(folder), config), trainer.step, last)
    started, first = time.monotonic(), trainer.step
    for ids, weights in stream:
        loss = trainer.update(ids, weights)
        if trainer.step % 50 == 0 or trainer.step == config.steps:
            rate = (trainer.step - first) * ids.numel() / (time.monotonic() - started)
            logger.info("step %d loss %.4f tokens/s %.0f", trainer.step, loss, rate)
        if trainer.step % 250 == 0 or trainer.step == last:
            trainer.save(checkpoint)
    return trainer.model


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
    parser.add_argument("--steps", type=int, default=TrainConfig.steps)
    parser.add_argument("--seed", type=int, default=TrainConfig.seed)
    parser.add_argument("--learning-rate", type=float, default=TrainConfig.learning_rate)
    parser.add_argument("--stop-after", type=int, default=TrainConfig.stop_after)
    parser.add_argument(
        "--shares", type=int, nargs=3, default=TrainConfig.shares, help="of the three task kinds"
    )
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    folder: Path = options.out
    if not (folder / "tokenizer.json").is_file():
        save_tokenizer(train_tokenizer(), folder)
    config = TrainConfig(
        steps=options.steps,
        stop_after=options.stop_after,
        seed=options.seed,
        learning_rate=options.learning_rate,
        shares=tuple(options.shares),
    )
    model = train(folder, folder / "training.pt", config)
    model.save_pretrained(folder)


if __name__ == "__main__":
    main()
