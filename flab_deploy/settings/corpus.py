"""What is mined from source trees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from annotated_types import Ge

from flab_deploy.errors import ConfigError
from flab_deploy.settings.shared.bounds import Seed, check_bounds

LanguageName = Literal["python", "go", "java", "javascript"]
LANGUAGE_NAMES: tuple[LanguageName, ...] = get_args(LanguageName)
MinedKind = Literal["function", "method", "test"]
MINED_KINDS: tuple[MinedKind, ...] = get_args(MinedKind)


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """Which functions of a source tree become instructions."""

    languages: tuple[LanguageName, ...] = LANGUAGE_NAMES
    """Languages that are read; all but Python need the extra `languages`."""
    kinds: tuple[MinedKind, ...] = MINED_KINDS
    """`function` and `method`: those that say in words what they do; `test`: those without a
    description whose name marks them as a test.
    """
    max_characters: Annotated[int, Ge(1)] = 4_000
    """Longer instructions, prompt and completion together, are left out."""
    min_body_lines: Annotated[int, Ge(1)] = 2
    """Functions with fewer lines of code are left out as trivial; blank lines and comments do not
    count.
    """
    max_records: Annotated[int, Ge(0)] = 0
    """Read no further file once there are so many instructions; 0 reads all. Packages take turns,
    so each has its share.
    """
    seed: Seed = 0
    """Order of the files and of the instructions, so that the first ones are a fair sample."""

    def __post_init__(self) -> None:
        """Refuse settings that leave nothing."""
        check_bounds(self)
        for name, known in (("languages", LANGUAGE_NAMES), ("kinds", MINED_KINDS)):
            if not getattr(self, name):
                raise ConfigError(f"{name} is empty; give one or more of {', '.join(known)}")
