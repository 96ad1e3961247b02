"""Pages of the console about data quality: conflicts, review, bulk operations (console 3, 5). See `hub.web` for the form.

Decides what stands on these pages and how a form becomes a move; rights, four-eyes, versions and reasons are decided by
`quality`, who may open a page by the shell's guard.
"""
