"""Steps over the images of one participant."""
