"""From a recipe and data to a trained model: batches, the loop, validation."""
