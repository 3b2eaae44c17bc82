"""What reacts: one short module per agent. Message in, a call into models/, messages out.

An agent never imports another agent: they meet in topics. What an agent needs of
the process around it is written down in `agents.runtime.ports`.
"""
