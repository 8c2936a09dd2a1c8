"""Files: index folders, segments and passages on disk, locks, and writing whole or not at all."""
