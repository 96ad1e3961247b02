"""Pages that only a province has. See `hub.web` for the form of a section."""
