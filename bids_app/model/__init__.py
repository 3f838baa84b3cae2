"""The typed records that all parts share: images and runs, settings, steps."""
