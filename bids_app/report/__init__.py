"""What people look at: the page of a subject, quality control numbers, the methods text and the page of the group."""
