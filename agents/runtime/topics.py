"""Names of the topics, for agents. What they carry and how long: `app.kafka.topics`."""

from __future__ import annotations

INTERACTIONS = "interactions"
CHAT = "chat-messages"
FEEDBACK = "feedback"
ERASURES = "erasures"
EMOTIONS = "emotions"
CONCERNS = "concerns"
USER_STATE = "user-state"
RECOMMENDATIONS = "recommendations"
INTERVENTIONS = "interventions"
TUTOR_REQUESTS = "tutor-requests"
TUTOR_REPLIES = "tutor-replies"
DEAD_LETTERS = "dead-letters"
LEARNER_CHANGELOG = "learner-changelog"
