"""The ministry's own pages of the console; the shell and what both tiers share are `hub.web`."""
