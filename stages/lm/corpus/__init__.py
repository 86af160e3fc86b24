"""From sources to documents: reading, cleaning, exact deduplication, splits, and the Parquet store."""
