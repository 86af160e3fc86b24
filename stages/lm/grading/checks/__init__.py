"""The checks by part. Each is a question (inputs from a seed) and a probe, which puts it to an implementation's adapters."""
