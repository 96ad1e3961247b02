"""What does a province do? extract → settle → publish → deliver, and it listens for receipts."""
