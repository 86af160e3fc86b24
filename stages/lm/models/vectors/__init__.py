"""Word vectors: one for each token, learned from the tokens around it."""
