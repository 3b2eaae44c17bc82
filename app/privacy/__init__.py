"""What masterx does for the people behind the data.

erasure    forgets a learner, everywhere
report     what an erasure did, and what remains until when
retention  every place that holds a learner's data, and for how long

`app.cli` imports it.
"""
