"""How a model is evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from annotated_types import Ge, Gt, Le, Lt

from flab_deploy.errors import ConfigError
from flab_deploy.settings.shared.bounds import Seed, check_bounds
from flab_deploy.settings.shared.device import DeviceConfig
from flab_deploy.settings.shared.prompt import PromptSettings

FormatName = Literal[
    "flab", "humaneval", "codeharmony", "mbpp", "evalplus", "cruxeval", "securityeval"
]

FORMATS: tuple[FormatName, ...] = get_args(FormatName)


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(PromptSettings, DeviceConfig):
    """How a model is evaluated."""

    suite: str = "reference"
    """`reference`, a file of tasks (.jsonl, .jsonl.gz, .json, .parquet), or
    `hub:ORG/NAME@REVISION#CONFIG/SPLIT`.
    """
    format: FormatName | None = None
    """One of flab, humaneval, codeharmony, mbpp, evalplus, cruxeval, securityeval; recognised by
    the fields if None.
    """
    num_function_synthesis: Annotated[int, Ge(0)] = 2000
    """Function-synthesis problems, at most."""
    num_output_prediction: Annotated[int, Ge(0)] = 500
    """Output-prediction problems, at most."""
    num_chain_of_thought: Annotated[int, Ge(0)] = 500
    """Chain-of-thought problems, at most."""
    num_input_prediction: Annotated[int, Ge(0)] = 1000
    """Input-prediction problems, at most; the reference tasks have none."""
    num_secure_code: Annotated[int, Ge(0)] = 1000
    """Prompts for safe code, at most; they are judged by static rules. The reference tasks have
    none.
    """
    num_robustness: Annotated[int, Ge(0)] = 200
    """Function-synthesis problems that every perturbation method is given."""
    num_thought: Annotated[int, Ge(0)] = 200
    """Chain-of-thought problems that are also asked without a plan and with the reference plan."""
    perturbations: tuple[str, ...] = ("default",)
    """Perturbation methods: their names, families, `default` or `all`."""
    perturbation_seeds: Annotated[int, Ge(1), Le(10)] = 1
    """Forms of each problem that every perturbation method draws (ReCode's s), 1 to 10."""
    num_samples: Annotated[int, Ge(1)] = 1
    """Answers per problem; more than one needs a temperature above 0."""
    temperature: Annotated[float, Ge(0), Le(10)] = 0.0
    """0 writes the most likely token; above, tokens are drawn, the same ones for the same seed."""
    top_p: Annotated[float, Gt(0), Le(1)] = 1.0
    """Share of the probability that tokens are drawn from."""
    pass_k: tuple[Annotated[int, Ge(1)], ...] = (1,)
    """The k of pass@k, none above num_samples."""
    seed: Seed = 0
    """Seed of the tasks, the perturbations and the drawing of tokens."""
    endpoint: str = ""
    """Base URL of an OpenAI-compatible server, such as http://127.0.0.1:8000/v1; FLAB_API_KEY holds
    its key.
    """
    served_model: str = ""
    """Name of the model on that server; may be left out if it has only one."""
    onnx: str = ""
    """Directory of the model's ONNX export, to judge that instead of the checkpoint."""
    batch_size: Annotated[int, Ge(1)] = 512
    """Prompts continued together, at most; fewer where their cache would exceed 1 GiB, or half of
    a GPU's free memory. In other precisions than float32 a near tie may depend on it.
    """
    max_new_tokens: Annotated[int, Ge(1)] = 128
    """New tokens per problem, at most."""
    confidence: Annotated[float, Gt(0), Lt(1)] = 0.95
    """Confidence of the intervals."""
    cpu_limit_s: Annotated[float, Gt(0), Le(3600)] = 2.0
    """Processor time that one program may use; more where a task's own solution needs over a tenth
    of it here.
    """
    memory_limit_bytes: Annotated[int, Ge(32 << 20)] = 512 << 20
    """Memory that one program may use."""

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        check_bounds(self)
        if not self.pass_k or max(self.pass_k) > self.num_samples:
            raise ConfigError(
                f"pass_k={list(self.pass_k)} needs every k from 1 to num_samples={self.num_samples}"
            )
        if self.num_samples > 1 and self.temperature == 0:
            raise ConfigError(
                f"num_samples={self.num_samples} at temperature 0 are all the same; set a "
                "temperature"
            )
