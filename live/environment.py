"""The process environment. The one place that reads it."""

import os
from collections.abc import Mapping


def environment() -> Mapping[str, str]:
    """The variables this process was started with."""
    return dict(os.environ)  # noqa: TID251 - the one place
