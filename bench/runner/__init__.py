"""Carries out plans: for every step of the schedule, perform it and log what was read."""
