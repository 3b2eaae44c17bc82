"""What analysts use: topics as typed records and frames, files of them, states computed again.

reading    a topic's records from a time to a time, or as they come (docs/analytics.md)
forgetting each record once, and none of a learner who was forgotten
codebook   the columns of a topic's frame: type, unit, range, meaning
frames     records as a polars frame, or as a Parquet file with its codebook
order      in which order the learner worker applied the records of one learner
rebuilding every state that was, or would have been under other settings

It reads Kafka and writes nothing there. Only `app.cli` imports it, and your notebooks.
"""
