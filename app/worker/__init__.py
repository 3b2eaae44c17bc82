"""A worker: a Faust app around one role.

process    starts the parts in order, and stops them in order
role       what a role is made of
transport  Faust's Kafka transport, with the group lease
lease      the right to write
health     is it alive, ready, and how far behind
formats    which record format it writes during a rolling upgrade
roles/     a module for each role

Only `app.cli` imports `process`.
"""
