"""Training readers: the embedded one, or any encoder-decoder checkpoint."""
