"""One reply: claimed, prepared, streamed to the learner, recorded.

`TutorRequested` enters; pieces of text and one `TutorReplied` leave.
"""
