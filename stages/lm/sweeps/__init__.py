"""Sweeps: W&B sweep files, and the search that they ask for, without a server."""
