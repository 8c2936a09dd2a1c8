"""Readers that put question and passages into one prompt: local causal models and HTTP endpoints."""
