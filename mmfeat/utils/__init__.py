"""Helpers shared by the packages; nothing here is public."""
