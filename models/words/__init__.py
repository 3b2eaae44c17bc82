"""What masterx says by itself to learners and teachers: a file for each language.

`en.toml` is what the others are held against: each has its keys, and in each text its fields.
"""
