"""What the system tests share: plain sockets, and clusters for a module each."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from plain_client import World, plain_world
from running_cluster import Cluster, local_cluster

if TYPE_CHECKING:
    from bare_hosts import BareHosts
    from laboratory import Laboratory


@pytest.fixture
def world() -> Iterator[World]:
    """Plain sockets, closed at the end of the test."""
    with plain_world() as found:
        yield found


@pytest.fixture(scope="session")
def plain_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three servers with the timings that people get, for tests that only talk to them."""
    with local_cluster(tmp_path_factory.mktemp("plain")) as cluster:
        cluster.wait_for("coordinator", seconds=30)
        yield cluster


@pytest.fixture(scope="session")
def shared_lab() -> "Iterator[Laboratory]":
    """Three hosts with a cluster; what ends it is the last of their tests."""
    from laboratory import laboratory

    with laboratory() as lab:
        lab.whole()
        yield lab


@pytest.fixture
def lab(shared_lab: "Laboratory") -> "Iterator[Laboratory]":
    """The laboratory, whole before and after."""
    yield shared_lab
    shared_lab.whole()


@pytest.fixture(scope="session")
def bare_hosts() -> "Iterator[BareHosts]":
    """Three hosts that were bare, made a cluster by what the README types."""
    from bare_hosts import following_the_readme

    with following_the_readme() as hosts:
        yield hosts
