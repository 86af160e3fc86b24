"""Claims: one small file of what a run found, and whether another run on another machine finds it too."""
