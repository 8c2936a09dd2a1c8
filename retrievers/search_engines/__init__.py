"""Retrieval by engines that hold the passages themselves: Lucene, Milvus, Elasticsearch, OpenSearch."""
