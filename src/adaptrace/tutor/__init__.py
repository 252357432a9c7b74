"""What a platform embeds: the tutor, its students and its stores."""
