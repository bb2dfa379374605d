"""Training of a network and a reader of sentences together, from pictures and sentences."""
