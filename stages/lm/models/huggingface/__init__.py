"""Models of Hugging Face transformers that a Python file of the user's defines: a changed attention, another residual."""
