"""One file per revision, frozen once released: nothing here may import the tables of today."""
