"""The store: tables derived from the catalogue, one transaction per batch, bulk paths per database."""

from hub.store.reader import Reader, TableDigest, row_schema
from hub.store.rows import ApplyCounts
from hub.store.store import Store, Transaction, open_store

__all__ = ["ApplyCounts", "Reader", "Store", "TableDigest", "Transaction", "open_store", "row_schema"]
