"""Our retrievers and reranker in other frameworks, and their retrievers in our pipeline; one module and extra each."""
