"""The studies as the page shows them, one module for each kind."""
