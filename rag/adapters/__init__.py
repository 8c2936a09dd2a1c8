"""ragshap's parts in other frameworks' pipelines, and their retrievers in ours; one module and one extra each."""
