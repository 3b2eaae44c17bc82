"""A worker: a process that runs one role or several, each on a Faust app of its own.

role         what a role is, and the registry of all of them
roles/       a module for each role: its declaration, and what it needs around its agent
process      from the start to the signal to stop
running      one role within the process
status       one port and a heartbeat for each role
health       is a role alive, ready, and how far behind
lease        the right to write
transport    Faust's Kafka transport, with the group lease
faust_seams  every private hook into Faust and aiokafka's consumer
formats      which record format it writes during a rolling upgrade
putting_away, model_metrics   what the learner and the emotion role have besides

Only `app.cli` imports `process`. `role` is light; the gateway, erasure and `masterx up` ask it for
the roles.
"""
