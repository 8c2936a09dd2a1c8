"""Index folders, the segments and passages in them, locks, and changes that happen whole or not at all."""
