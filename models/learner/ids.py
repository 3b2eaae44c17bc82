"""Ids that the same cause always leads to."""

from __future__ import annotations

from hashlib import blake2b
from uuid import UUID


def derived_id(kind: str, cause: str, user_id: str) -> str:
    """An id that the same cause always leads to: a UUIDv8 (RFC 9562) of BLAKE2b."""
    seed = "\x00".join((kind, cause, user_id)).encode()
    number = int.from_bytes(blake2b(seed, digest_size=16).digest(), "big")
    number = number & ~(0xF << 76) | 8 << 76
    number = number & ~(0x3 << 62) | 2 << 62
    return str(UUID(int=number))


def reply_id(root: str, user_id: str) -> str:
    """The id of the reply to a chat message (by its event id) or to an intervention."""
    return derived_id("reply", root, user_id)
