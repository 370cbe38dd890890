"""`flab.toml` in the current directory: any option of any verb, under the verb's name.

Options on the command line win. A verb that runs other verbs' stages reads their sections, too:
`[recover] learning_rate = 1e-4` holds for `flab recover` and for the recovery of `flab run`, where
`[run.recover]` wins over it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cyclopts.config import Dict, Toml

if TYPE_CHECKING:
    from cyclopts import App
    from cyclopts.argument import ArgumentCollection

FILE_NAME = "flab.toml"


class SettingsFile(Toml):
    """The file as cyclopts asks for it; `sections` maps a verb to the others that it reads."""

    def __init__(self, app: App, sections: Mapping[str, tuple[str, ...]]) -> None:
        """`app` is the whole program, which knows the options of every verb."""
        super().__init__(FILE_NAME, must_exist=False, search_parents=False)
        self._program, self._sections = app, sections

    def __call__(self, app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        """Fill in the options of one verb that the command line left open."""
        super().__call__(app, commands, arguments)
        if len(commands) != 1:
            return
        (verb,) = commands
        shared = {
            name: self._shared(name, arguments)
            for name in self._sections.get(verb, ())
            if isinstance(self.config.get(name), dict)
        }
        if shared:
            Dict({verb: shared}, source=self.source)(app, commands, arguments)

    def _shared(self, section: str, arguments: ArgumentCollection) -> dict[str, Any]:
        """What a section holds for a verb that reads it besides its own.

        Options that only the section's own verb has, such as where to write, are left out; what
        neither of them knows is kept, so that it is refused by name.
        """
        return {
            key: value
            for key, value in self.config[section].items()
            if _matches(arguments, f"{section}.{key}")
            or not _matches(self._program[section].assemble_argument_collection(), key)
        }


def _matches(arguments: ArgumentCollection, name: str) -> bool:
    try:
        arguments.match("--" + name.replace("_", "-"))
    except ValueError:
        return False
    return True
