"""Text from a trained model: sampling and generation."""
