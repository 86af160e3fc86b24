"""Hugging Face: our models as folders that transformers loads, and such folders as our models."""
