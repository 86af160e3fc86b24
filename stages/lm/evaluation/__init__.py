"""How well a model predicts held-out documents, on a scale that models with different tokenizers share."""
