"""The adapters that turn prompts into masks, one module for each package they run on."""
