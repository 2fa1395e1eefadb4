import pytest

from tests.live.in_page import LivePage


@pytest.fixture
def live_page(page) -> LivePage:
    return LivePage(page)
