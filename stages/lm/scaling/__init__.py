"""Scaling studies: trainings of several sizes at equal FLOPs, what they predict of a larger one, and what comes of that."""
