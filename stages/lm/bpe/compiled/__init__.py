"""The fast twins: pre-tokenization, word counting, merging and encoding compiled by numba, equal to the plain modules above."""
