"""Settings of the learner's state: decays, bounds, and the policy that acts on it.

These are the numbers that decide about a person until issue-trained artefacts do;
an operator can change every one of them.
"""

from __future__ import annotations

from pydantic import BaseModel


class LearnerSettings(BaseModel):
    """How evidence adds up, and what is done about it."""
