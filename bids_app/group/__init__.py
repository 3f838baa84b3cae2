"""Template, common-space maps and statistics of a study."""
