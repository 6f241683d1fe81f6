"""What is done with a finished run: sensitivity, calibration, comparison, evidence."""
