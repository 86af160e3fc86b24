"""The library beneath the stage scripts, by subject."""
