"""The tutor: a packed prompt goes in, a stream of text or one clear failure comes out."""
