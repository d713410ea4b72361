"""One cluster a test module: a real master and fastvol."""

from collections.abc import Iterator

import pytest
from cluster import Cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running master and a fastvol that has joined it; tests share them, in order."""
    with Cluster.make(tmp_path_factory.mktemp("cluster")).running() as made:
        yield made
