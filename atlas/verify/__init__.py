"""Whether what an atlas shows is what was found: hashes, counts, rows that lead to rows, payloads beside the database, firings."""
