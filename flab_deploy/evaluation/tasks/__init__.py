"""Where problems come from: files and hubs, their formats, and the suite that a model is given."""
