"""The errors that flab-deploy raises on purpose.

    FlabError
    |-- ConfigError (also ValueError)   a value the user can fix
    |-- UnsupportedModel                an architecture or tokenizer family that is not supported
    |-- ArtifactError                   missing, incomplete, damaged or already there
    |-- OutOfMemory                     a device cannot hold what even one example takes
    |-- PlanError                       a plan that does not fit, or a budget that cannot be met
    |-- SandboxError                    code cannot be run in isolation on this machine
    |-- ExportError                     a format cannot hold the model, or parity is out of bounds
    |-- ServingError                    an engine or server did not do what it should
    `-- GateFailed                      figures below the bar of a release

Messages say what failed, the value seen and what to do, in at most two lines.
Whatever else escapes is a bug and keeps its traceback.
"""


class FlabError(Exception):
    """Base of every expected failure; `exit_code` is what the command line ends with."""

    exit_code = 1


class ConfigError(FlabError, ValueError):
    """A value the user can fix."""

    exit_code = 2


class UnsupportedModel(FlabError):
    """The model or its tokenizer belongs to no supported family."""

    exit_code = 2


class ArtifactError(FlabError):
    """An artifact is missing, incomplete, damaged, or in the way."""

    exit_code = 2


class OutOfMemory(FlabError):
    """The device cannot hold what even one example takes."""


class PlanError(FlabError):
    """A plan does not fit its checkpoint, or no plan meets the budget."""

    exit_code = 2


class SandboxError(FlabError):
    """Generated code cannot be run in isolation here."""


class ExportError(FlabError):
    """The exported model differs from its source, or cannot be written."""


class ServingError(FlabError):
    """An engine could not be installed, started or reached."""


class GateFailed(FlabError):
    """A release gate failed."""


def first_line(error: BaseException) -> str:
    """What a library's error says in one short line; its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]
