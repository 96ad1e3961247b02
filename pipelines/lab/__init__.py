"""A paired province and ministry on one machine: setting up (`setup`) and whole rounds (`round`)."""
