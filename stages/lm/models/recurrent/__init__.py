"""Recurrent language models: RNN, LSTM and GRU in symmetric files over one layer and one language model."""
