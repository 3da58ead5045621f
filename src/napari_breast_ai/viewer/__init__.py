"""The window: all that napari shows and a person clicks. Importing this loads nothing heavy."""
