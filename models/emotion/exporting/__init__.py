"""From a trained network to the graph that a processor runs.

What trains and `masterx models export` may import it; nothing that serves does.
"""
