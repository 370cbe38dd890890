"""The verb `flab audit`: what is wrong with perturbed problems."""

from __future__ import annotations

from pathlib import Path

from flab_deploy.cli.options import Json
from flab_deploy.cli.output import show_record, show_text
from flab_deploy.errors import ConfigError, GateFailed
from flab_deploy.evaluation.audit.data_set import as_text as audit_text
from flab_deploy.evaluation.audit.data_set import audit as audit_file
from flab_deploy.evaluation.audit.own_methods import as_text as methods_text
from flab_deploy.evaluation.audit.own_methods import prove_methods
from flab_deploy.records.printed.audit import AuditRecord, MethodAuditRecord


def audit(
    file: Path | None = None,
    /,
    *,
    original: Path | None = None,
    reference: bool = False,
    perturbations: tuple[str, ...] = ("all",),
    num_tasks: int = 500,
    num_seeds: int = 5,
    as_json: Json = False,
) -> None:
    """Find what is broken, and what changed nothing, in a perturbed data set or in what our own
    methods make.

    Ends with 1 if there is any defect.

    Parameters
    ----------
    file
        JSON lines with task_id, prompt, canonical_solution, test and entry_point, as ReCode
        releases them.
    original
        The unperturbed data set, if the items do not carry their originals.
    reference
        Audit our own methods on reference tasks instead of a file.
    perturbations
        With `--reference`: names of methods or families, `default` or `all`.
    num_tasks
        With `--reference`: tasks that each method is given, at least.
    num_seeds
        With `--reference`: times that each task is perturbed.
    """
    if (file is None) is not reference:
        raise ConfigError("give a file to audit, or --reference for our own methods")
    record: AuditRecord | MethodAuditRecord
    if file is not None:
        found = audit_file(file, original)
        record, text, failed = found, audit_text(found), found.num_defective
    else:
        proven = prove_methods(perturbations, num_tasks, num_seeds)
        record, text, failed = proven, methods_text(proven), proven.num_broken
    if as_json:
        show_record(record)
    else:
        show_text(text)
    if failed:
        raise GateFailed(f"{failed} items have defects")
