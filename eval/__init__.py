"""Measuring retrieval, answers and explanations from outside."""
