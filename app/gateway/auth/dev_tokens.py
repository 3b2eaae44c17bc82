"""Tokens for the CLI's own connections, where the shared secret is at hand."""

from __future__ import annotations

from app.gateway.auth.tokens import CannotIssue, issue
from app.process.errors import OperatorError
from app.settings import Settings

_TTL = 86_400.0


def token_for(settings: Settings, user: str) -> str:
    """A learner's own token, with consent. Raises OperatorError where we cannot sign."""
    return _sign(settings, user, role="learner", consent=True, learners=())


def token_for_watching(settings: Settings, user: str) -> str:
    """An observer's token that sees one learner. Raises OperatorError where we cannot sign."""
    return _sign(settings, "masterx-watch", role="observer", consent=False, learners=(user,))


def _sign(
    settings: Settings, user: str, *, role: str, consent: bool, learners: tuple[str, ...]
) -> str:
    try:
        return issue(settings.auth, user, role=role, ttl=_TTL, consent=consent, learners=learners)
    except CannotIssue as error:
        raise OperatorError(f"{error}; pass one with --token or MASTERX_TOKEN") from error
