"""Reading emotion in text."""
