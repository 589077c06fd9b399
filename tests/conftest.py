"""What holds in all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from karusel.forecasting import baselines


@pytest.fixture(autouse=True, scope="session")
def _without_the_extra() -> Iterator[None]:
    """The slow methods of the extra `baselines` run in their own tests alone, installed or not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baselines, "has_extra", lambda: False)
        yield
