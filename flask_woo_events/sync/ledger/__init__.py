"""What is known of each object, and the record of what changed."""
