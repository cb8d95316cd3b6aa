"""Ids that no two processes make twice. The one place that makes them."""

import uuid


def new_id() -> str:
    """32 hexadecimal digits, random."""
    return uuid.uuid4().hex  # noqa: TID251 - the one place
