"""The ministry's code location: intake per province as an asset, its checks and the inbox sensor."""
