"""The kinds of tokenizers behind one interface: byte pairs, bytes, characters, words. Trained, written and read by kind."""
