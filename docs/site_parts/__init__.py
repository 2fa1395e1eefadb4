"""What the site needs beyond Sphinx's own extensions: one small extension in each file."""
