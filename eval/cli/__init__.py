"""The commands `ragshap evaluate` and `ragshap benchmark`."""
