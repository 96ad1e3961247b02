"""Down streams: what both nodes must agree on about batches the ministry sends (protocol 1.2, 2.7, 3)."""
