"""Retrieval by meaning: encoders, vectors and indexes of them."""
