"""BERT: an encoder of transformer blocks that reads in both directions."""
