"""Batches: names, envelopes, ciphers, manifests, sequence verdicts and receipts. Bytes and decisions, no I/O."""
