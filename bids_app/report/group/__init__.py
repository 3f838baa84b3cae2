"""The page of the group."""
