"""What words mean: tokens, noun phrases, captions and referring expressions."""
