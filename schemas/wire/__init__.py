"""The wire: what passes over the WebSocket, and the bodies of the REST calls.

client  interaction_batch, chat_message, feedback, resume, ping
server  hello, ack, error, resumed, pong, and the pushes user_state_update, recommendations,
        intervention, tutor_delta, tutor_reply
rest    request and response bodies
errors  error codes and close codes
"""
