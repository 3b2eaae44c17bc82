"""Training the emotion model: data, losses, the run, calibration.

Only `masterx train` imports it.
"""
