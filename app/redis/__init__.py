"""Redis: the one place that opens clients and spells keys, and what lies there.

client, requirements      how masterx connects, and what it needs of a server
push_log, push_scripts    what each learner's pages were sent
subscription, arrivals    who is told of it at once
heartbeats                which workers live
"""
