"""Whether what an atlas shows is what was found: hashes, counts, references, payloads beside the database, firings."""
