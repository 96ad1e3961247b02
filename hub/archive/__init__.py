"""Versions that ended, moved from the database into Parquet files by year, and read together with it as of any date."""

from hub.archive.index import Entry, read_index
from hub.archive.move import Moved, archive_versions
from hub.archive.restore import adopt_index, restore_versions
from hub.archive.verify import Verified, verify_archive

__all__ = [
    "Entry",
    "Moved",
    "Verified",
    "adopt_index",
    "archive_versions",
    "read_index",
    "restore_versions",
    "verify_archive",
]
