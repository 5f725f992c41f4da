"""`heedful demo`: an exact parallel corpus made on the spot, a Transformer trained on it, and a page that shows both."""
