"""What words mean: tokens, noun phrases and captions, in pure Python."""
