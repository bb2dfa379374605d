"""What the learned fusions share: losses, heads, views in batches, and the training loop; torch inside, numpy outside."""
