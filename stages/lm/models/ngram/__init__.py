"""N-gram models: counting, smoothing, and the back-off tables that every smoothing ends in."""
