"""The stages of the project: one script each, over the library in `stages.lm`."""
