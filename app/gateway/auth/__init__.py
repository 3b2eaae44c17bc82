"""Who is speaking: JSON Web Tokens, checked by a shared secret or by keys from a URL.

A token enters; a `Principal` leaves, or `AuthError`. Every room of the gateway
imports it, and the command line, which signs tokens for development.
"""
