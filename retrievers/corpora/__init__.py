"""Corpora: their layouts, read as a stream of passages, cut and counted; TREC runs and judgements."""
