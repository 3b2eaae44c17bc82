"""The network: encoder, heads, and the wide part beside them.

Token ids enter; logits leave.
"""
