"""Parts of the EmbeddingIndex: rows on a grid, their storage, the exact search, approximate ones, and files."""
