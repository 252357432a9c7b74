"""Files of every release, how they are made and how they are read."""
