"""What people look at: pages, figures, methods text."""
