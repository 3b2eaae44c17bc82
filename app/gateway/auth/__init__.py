"""Who is speaking: JSON Web Tokens, checked by a shared secret or by keys from a URL.

A token enters; a `Principal` leaves, or `AuthError`. `websocket`, `rest` and `process` import it,
and the command line, which signs tokens for development.
"""
