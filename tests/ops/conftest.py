"""Fixtures for the tests of the operator."""

import jaxtyping
import pytest
import torch


@pytest.fixture
def unchecked(monkeypatch):
    """Without the shape checks that the tests put around every function: what a user of the package meets.

    They would refuse some bad input before the package does, and torch.compile cannot look through them.
    """
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    torch._dynamo.reset()
