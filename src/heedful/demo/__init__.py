"""`heedful demo`: an exact parallel corpus made on the spot, a Transformer trained on it, a page that shows both."""
