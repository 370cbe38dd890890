"""The Prefect server of the flows' tests, for the verbs that talk to one."""

from tests.flows.conftest import prefect_home, prefect_server

__all__ = ["prefect_home", "prefect_server"]
