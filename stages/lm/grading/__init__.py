"""Grading: what students hand in, run in isolation, compared with this project's own answers, and marked by a rubric."""
