"""Attention: who sees whom, the kernels that compute it, the heads around them, and what is kept while decoding."""
