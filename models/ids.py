"""Ids that the same cause always leads to."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

_VARIANTS: Final = "89ab" * 4
"""The digit with its two highest bits set to the variant of RFC 9562."""


def derived_id(kind: str, cause: str, user_id: str) -> str:
    """An id that the same cause always leads to: a UUIDv8 (RFC 9562) of BLAKE2b."""
    seed = "\x00".join((kind, cause, user_id)).encode()
    digits = blake2b(seed, digest_size=16).hexdigest()
    variant = _VARIANTS[int(digits[16], 16)]
    return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def reply_id(root: str, user_id: str) -> str:
    """The id of the reply to a chat message (by its event id) or to an intervention."""
    return derived_id("reply", root, user_id)
