"""One page that shows what a set of experiments found, and where each number comes from."""
