"""The fast twins: sorting and linking n-grams and writing ARPA files, compiled by numba, equal to the plain modules above."""
