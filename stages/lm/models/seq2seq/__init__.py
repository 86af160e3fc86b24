"""Translation: an encoder reads a sentence, a decoder writes its translation and attends to what was read."""
