"""Do the documents say what the code does, and does the code keep the house's measures? Reads files only."""
