"""Where results come from: what made a file, and why two runs differ."""
