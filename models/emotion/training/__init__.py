"""Training the emotion model: data, losses, the run, calibration.

`masterx train`, `measuring` and the nets' fitting import it; nothing that serves does.
"""
