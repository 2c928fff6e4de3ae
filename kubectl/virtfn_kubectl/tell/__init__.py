"""Makes text and pictures of the answers. Pure: returns text, and the caller prints it."""
