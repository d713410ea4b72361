"""One served node a test; starting it takes milliseconds."""

from collections.abc import Iterator

import pytest
from rpc_fakes import Node, serving


@pytest.fixture
def node() -> Iterator[Node]:
    with serving(Node()) as served:
        yield served


@pytest.fixture
def lone_node() -> Iterator[Node]:
    """A node without master and heartbeat."""
    with serving(Node(cluster=False)) as served:
        yield served
