"""Docks, and the small widgets they are made of."""
