"""How does it travel, and who can prove it? Change sets, batches, trust, transport, store, lineage, audit, commands."""
